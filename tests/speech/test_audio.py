import os
from pathlib import Path

import pytest

from app.speech.audio import INFO_BYTES, AudioInfo, Cache, CacheWriter, chunks

INFO = AudioInfo(1.5, {"han": 2})


@pytest.fixture
def cache(tmp_path, clock):
    return Cache(tmp_path / "speech", 1 << 20, clock=clock)


def keep(cache: Cache, key: str, audio: bytes, info: AudioInfo = INFO) -> None:
    writer = cache.writer()
    writer.write(audio)
    cache.keep(key, writer, info)
    writer.close()


def found(cache: Cache, key: str) -> bytes | None:
    entry = cache.find(key)
    if entry is None:
        return None
    audio = b"".join(chunks(entry.file))
    assert len(audio) == entry.size
    entry.file.close()
    return audio


def files(cache: Cache) -> list[Path]:
    return sorted(cache._directory.iterdir())


def test_what_was_kept_is_found(cache):
    keep(cache, "a", b"audio" * 50_000)
    assert found(cache, "a") == b"audio" * 50_000
    entry = cache.find("a")
    assert entry is not None
    assert entry.info == INFO
    entry.file.close()
    assert cache.find("b") is None


def test_a_patched_draft_is_kept_and_read_patched(cache):
    writer = cache.writer()
    writer.write(b"....the sound")
    writer.patch([(0, b"RIFF".hex())])
    cache.keep("a", writer, INFO)
    assert b"".join(writer.read()) == found(cache, "a") == b"RIFFthe sound"
    writer.close()


@pytest.mark.parametrize("place", ["/dev/full", "empty"])
def test_a_disk_that_takes_nothing_keeps_nothing_and_stops_no_speech(cache, tmp_path, caplog, place):
    (tmp_path / "empty").touch()
    if place == "empty":  # the first write fails, and there is nothing to be moved
        file = os.fdopen(os.open(tmp_path / place, os.O_RDONLY), "w+b", buffering=0)
    else:
        file = open(place, "w+b", buffering=0)  # noqa: SIM115 (closed by `close`)
    writer = CacheWriter(file, can_be_kept=True)
    writer.write(b"....the ")
    writer.write(b"sound")
    writer.patch([(0, b"RIFF".hex())])
    cache.keep("a", writer, INFO)
    assert b"".join(writer.read()) == b"RIFFthe sound"
    writer.close()
    assert cache.find("a") is None
    assert "speech cache: nothing kept: " in caplog.text


def test_what_was_not_finished_leaves_nothing(cache):
    writer = cache.writer()
    writer.write(b"half a senten")
    writer.close()
    assert files(cache) == []


def damage_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def damage_start(path: Path) -> None:
    path.write_bytes(b"!" + path.read_bytes()[1:])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def other_json(path: Path) -> None:
    path.write_bytes(b"[]\0\0\0\2")


@pytest.mark.parametrize("damage", [damage_end, damage_start, empty, other_json])
def test_a_damaged_entry_is_a_miss_and_goes(cache, damage):
    keep(cache, "a", b"audio")
    damage(files(cache)[0])
    assert cache.find("a") is None
    assert files(cache) == []


def test_the_least_recently_used_go_first(tmp_path, clock):
    cache = Cache(tmp_path, 4 * (INFO_BYTES + 150), clock=clock)  # room for four of these
    for age, key in enumerate("abcd"):
        keep(cache, key, key.encode() * 150)
        os.utime(tmp_path / f"{key}.audio", (age, age))
    assert found(cache, "a")  # used now
    keep(cache, "e", b"e" * 150)
    assert [key for key in "abcde" if found(cache, key)] == ["a", "c", "d", "e"]
    assert sum(path.stat().st_size for path in files(cache)) <= 4 * (INFO_BYTES + 150)


def test_one_entry_may_not_push_out_all_others(tmp_path, clock):
    cache = Cache(tmp_path, 1000, clock=clock)
    keep(cache, "large", b"x" * 300)
    assert found(cache, "large") is None


def test_a_stand_in_is_forgotten_in_time(cache, clock):
    keep(cache, "a", b"audio", AudioInfo(1.0, stand_in_until=clock.now + 10))
    assert found(cache, "a") == b"audio"
    clock.advance(11)
    assert cache.find("a") is None


def test_a_part_nobody_finishes_is_removed(cache, clock):
    keep(cache, "a", b"audio")
    left = cache._directory / "0123.part"
    left.write_bytes(b"left by a worker that was killed between two lines")
    clock.now = left.stat().st_mtime + 3601
    keep(cache, "b", b"audio")
    assert {path.suffix for path in files(cache)} == {".audio"}


def test_a_draft_has_no_name_and_an_entry_is_for_its_user_alone(cache):
    writer = cache.writer()
    writer.write(b"half a senten")
    assert files(cache) == []
    writer.close()
    keep(cache, "a", b"audio")
    assert [path.stat().st_mode & 0o777 for path in files(cache)] == [0o600]


def test_a_cache_of_no_size_keeps_nothing(tmp_path):
    cache = Cache(tmp_path / "none", 0)
    keep(cache, "a", b"audio")
    assert cache.find("a") is None
    assert not (tmp_path / "none").exists()


def test_a_directory_that_cannot_be_written_to_is_a_miss(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    cache = Cache(tmp_path / "file" / "speech", 1000)
    writer = cache.writer()
    writer.write(b"audio")
    cache.keep("a", writer, INFO)
    assert b"".join(writer.read()) == b"audio"
    writer.close()
    assert cache.find("a") is None
    assert "can't be written to" in caplog.text

"""Files of jobs: whole or not there, without a copy, and never filling the disk."""

import os

import pytest

from app.errors import InsufficientStorage
from app.files import nameless
from app.jobs.files import KEPT_FREE_BYTES, LocalFiles


@pytest.fixture
def recording(files):
    with nameless(files.upload_directory) as file:
        file.write(b"recording")
        yield file


def test_an_upload_becomes_the_recording_without_a_copy(files, recording):
    inode = os.fstat(recording.fileno()).st_ino
    files.keep_recording("a", recording)
    with files.recording("a") as path:
        assert os.stat(path).st_ino == inode
    recording.close()
    with files.recording("a") as path, open(path, "rb") as kept:
        assert kept.read() == b"recording"


def test_a_recording_is_on_the_disk_before_it_has_its_name(files, recording, monkeypatch):
    """A power cut can't be had here: it is watched what is synced, and when."""
    synced = []

    def watched(sync):
        def syncing(descriptor):
            there = [path.name for path in (files.directory / "a").iterdir()]
            synced.append((os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")).split(" ")[0], there))
            sync(descriptor)

        return syncing

    monkeypatch.setattr(os, "fdatasync", watched(os.fdatasync))
    monkeypatch.setattr(os, "fsync", watched(os.fsync))
    files.keep_recording("a", recording)
    (_, before), *after = synced
    assert before == []
    assert after == [("a", ["recording"]), (files.directory.name, ["recording"])]


def test_an_upload_that_is_not_kept_leaves_nothing(files, recording):
    recording.close()
    assert list(files.directory.iterdir()) == []


def test_an_upload_from_another_disk_is_copied(files):
    with nameless("/dev/shm") as elsewhere:
        elsewhere.write(b"recording")
        files.keep_recording("a", elsewhere)
    with files.recording("a") as path, open(path, "rb") as kept:
        assert kept.read() == b"recording"
    assert os.stat(path).st_mode & 0o077 == 0


def test_an_upload_that_had_a_name_is_copied(files, tmp_path):
    with (tmp_path / "named").open("w+b") as named:
        named.write(b"recording")
        named.flush()
        (tmp_path / "named").unlink()
        files.keep_recording("a", named)
    with files.recording("a") as path, open(path, "rb") as kept:
        assert kept.read() == b"recording"


def test_a_result_is_there_when_it_is_whole(files):
    with files.new_result("a") as file:
        file.write(b"half")
        with pytest.raises(FileNotFoundError):
            files.result("a")
    with files.result("a") as file:
        assert file.read() == b"half"


def test_a_result_that_failed_half_way_leaves_nothing_and_does_not_replace_another(files):
    with files.new_result("a") as file:
        file.write(b"first")
    with pytest.raises(TypeError), files.new_result("a") as file:
        file.write(b"second", "which it does not take")
    with files.result("a") as file:
        assert file.read() == b"first"
    assert [path.name for path in (files.directory / "a").iterdir()] == ["result"]


def test_two_at_once_do_not_mix_what_they_write(files):
    with files.new_result("a") as one, files.new_result("a") as other:
        one.write(b"one")
        other.write(b"other")
    with files.result("a") as file:
        assert file.read() == b"one"


def test_what_a_dead_process_was_writing_can_be_removed(files):
    (files.directory / "a").mkdir()
    (files.directory / "a" / "result-12ab.part").write_bytes(b"half")
    files.drop_unfinished("a")
    assert list((files.directory / "a").iterdir()) == []


def test_removing_a_job_removes_all_of_it(files, recording):
    files.keep_recording("a", recording)
    files.remove("a")
    files.remove("a")
    with pytest.raises(FileNotFoundError), files.recording("a"):
        pass
    assert list(files.directory.iterdir()) == []


def test_room_is_refused_before_the_disk_is_full(files):
    disk = os.statvfs(files.directory)
    free = disk.f_bavail * disk.f_frsize
    files.check_room(1)
    with pytest.raises(InsufficientStorage, match="MB left, of which 32 MB are kept free"):
        files.check_room(free - KEPT_FREE_BYTES + (64 << 20))


def test_the_directory_is_private(tmp_path):
    files = LocalFiles(tmp_path / "data" / "jobs")
    assert files.directory.stat().st_mode & 0o777 == 0o700

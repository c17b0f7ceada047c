"""
How bodies come in: a form, JSON or the recording itself, told apart by what they are and not by what they are called.

Recordings are spooled to disk while they arrive, bounded, never whole in memory.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
import tempfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from flask import current_app, g, request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

from ..errors import InvalidAudio, InvalidRequest, ServiceError, TooLarge
from ..files import disk_of, nameless, write_all
from .hooks import current_request, services
from .params import Fields

if TYPE_CHECKING:
    from ..jobs.service import Jobs
    from ..speech.transcription import TranscriptionRequest

CHUNK_BYTES = 1 << 16
HEAD_BYTES = 1 << 11
CHECK_ROOM_BYTES = 1 << 20  # of an upload, between two looks at what is left of the disk jobs are kept on
FIELD_LIMIT_BYTES = 1 << 17  # what the texts of a form may have in all
TEXT_LIMIT_BYTES = 1 << 20  # what a body of JSON or text may have: it is read into memory
MAX_PARTS = 200
SMALL_BYTES = 1 << 16  # a body that is here with its head, or a moment later
# Quotes in JSON, and signs outside its strings. A worker kept 7 MB of half-empty arenas after 60,000 short names.
MAX_JSON_SIGNS = 2_000

LONGEST_KEY = 255  # characters of an Idempotency-Key
FILE_FIELDS = ("audio", "file")
ACCEPTED = f"send the recording as multipart field {' or '.join(FILE_FIELDS)}, or as the raw body"
EXAMPLE = '{"text": "Hello."}'

NUMBER = re.compile(r"[0-9]{1,6}(\.[0-9]*)?")
GZIP = b"\x1f\x8b"
# In no text, and within the first 512 bytes of any recording.
CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
DATA_URL = re.compile(rb"\s*data:[^,]{0,200};base64,")
BASE64 = re.compile(rb"[A-Za-z0-9+/_\r\n-]{64,}=*\s*")

RECEIVED = "recordings are received on"

Expected = Callable[[Fields], "TranscriptionRequest"]


class Upload:
    """
    A recording on disk, without a name: it is gone when it is closed, or when this process ends.

    Closed by `with`, unless a response that is streamed goes on with it (*streamed*). One that becomes a job's is
    received where *jobs* are kept, and has a digest where the request may come again, with the same Idempotency-Key.
    """

    streamed = False

    def __init__(self, limit_bytes: int, file: IO[bytes] | None = None, jobs: Jobs | None = None) -> None:
        self._limit, self._jobs = limit_bytes, jobs
        directory = jobs and jobs.files.upload_directory
        with disk_of("jobs are kept on" if directory else RECEIVED):
            self.file = file or nameless(
                directory or current_app.config["UPLOAD_DIR"] or tempfile.gettempdir()
            )
        self.size_bytes = self._looked_at = 0
        self._hash = hashlib.sha256() if jobs and "Idempotency-Key" in request.headers else None

    @property
    def path(self) -> str:
        """A path that other processes of the same user can open while this one holds the file."""
        return f"/proc/{os.getpid()}/fd/{self.file.fileno()}"

    @property
    def digest(self) -> str:
        """Of all that was written; empty where nobody asks for it."""
        return self._hash.hexdigest() if self._hash else ""

    def write(self, data: bytes) -> None:
        """Append; TooLarge past the limit, InsufficientStorage when the disk takes no more or jobs would fill it."""
        if self._jobs and self.size_bytes >= self._looked_at + CHECK_ROOM_BYTES:
            self._looked_at = self.size_bytes
            self._jobs.files.check_room(CHECK_ROOM_BYTES)
        self.size_bytes += len(data)
        if self.size_bytes > self._limit:
            raise too_large()
        with disk_of(RECEIVED):
            write_all(self.file, data)
        if self._hash:
            self._hash.update(data)

    def close(self) -> None:
        """Let the file go."""
        self.file.close()

    def __enter__(self) -> Upload:
        return self

    def __exit__(self, *problem: object) -> None:
        if not self.streamed:
            self.close()


def too_large() -> TooLarge:
    """The refusal of an upload past MAX_UPLOAD_MB."""
    limit = current_app.config["MAX_UPLOAD_MB"]
    return TooLarge(f"the upload is larger than {limit} MiB; send a compressed or a shorter recording")


def _drop(part: object) -> None:
    """Takes what no field needs, and drops it."""


def prefers_async() -> bool:
    """Whether the request prefers a job to waiting (RFC 7240)."""
    return "respond-async" in preferences()


def client_patience(otherwise: float) -> float:
    """
    For how many seconds the client waits: as it says by `Prefer: wait=20`, or as OpenAI's clients do; *otherwise* as
    most do.
    """
    by_openai = ("X-Stainless-Read-Timeout", "X-Stainless-Timeout")
    said = (preferences().get("wait"), *map(request.headers.get, by_openai))
    return next((float(text) for text in said if text and NUMBER.fullmatch(text)), otherwise)


def preferences() -> dict[str, str]:
    """What the `Prefer` headers ask for (RFC 7240), names in lower case; "" for those without a value."""
    wishes = ",".join(request.headers.getlist("Prefer")).lower().split(",")
    pairs = [wish.partition(";")[0].partition("=") for wish in wishes]
    return {name.strip(): value.strip(' "') for name, _, value in pairs}


def idempotency_key() -> str:
    """What the client calls this request by, to send it again; empty where it does not."""
    key = request.headers.get("Idempotency-Key", "").strip()
    if len(key) > LONGEST_KEY:
        raise InvalidRequest(f"Idempotency-Key: at most {LONGEST_KEY} characters", "Idempotency-Key")
    return key


def jobs_with_room() -> Jobs:
    """The jobs, where one more fits; one that is known by its key needs no room."""
    jobs = services().jobs
    if jobs.store.find(g.get("key_id", ""), idempotency_key()) is None:
        jobs.check_room(request.content_length or 0)
    return jobs


@contextmanager
def receive_recording(expected: Expected) -> Generator[tuple[Fields, Upload]]:
    """As `receive`, where there has to be a recording; InvalidRequest says what came instead."""
    with receive(expected) as (fields, upload):
        if upload is None:
            sent = ", ".join(sorted(set(fields) - set(request.args))[:8])
            kind = request.mimetype or "no Content-Type"
            raise InvalidRequest(
                f"the body ({kind}; {f'fields: {sent}' if sent else 'no fields'}) has no recording; {ACCEPTED}",
                "file",
            )
        yield fields, upload


def receive_fields(text_field: str = "text", example: str = EXAMPLE) -> Fields:
    """
    The fields of a body without a recording: JSON, a form, or plain text, which is *text_field*.

    InvalidRequest, with an *example* of what is accepted, for anything else.
    """
    with receive(text_field=text_field, example=example, recording=False) as (fields, _):
        return fields


@contextmanager
def receive(
    expected: Expected | None = None,
    *,
    text_field: str = "text",
    example: str = EXAMPLE,
    recording: bool = True,
    job: bool = False,
) -> Generator[tuple[Fields, Upload | None]]:
    """
    The fields of this request and its recording, None where there is none. After an error, and at the end of the block,
    nothing that was received is left open but what is *streamed*.

    What becomes a *job*, or would rather become one, is received where jobs are kept. Else *expected* makes what is
    probably asked for of the fields before a recording, and its engine is started while the rest arrives; a field that
    is wrong is refused when all is here.

    Fields stand in the body or in the query string; the body's win. JSON is understood whatever Content-Type says,
    plain text is *text_field*, and a recording may be gzipped, in base64, or a `data:` URL. InvalidAudio when the
    recording is empty, TooLarge past the limit, without reading the rest.
    """
    jobs = jobs_with_room() if recording and (job or prefers_async()) else None
    limit = current_app.config["MAX_UPLOAD_MB"] << 20
    request.max_content_length = limit + 2 * FIELD_LIMIT_BYTES
    if (request.content_length or 0) > request.max_content_length:
        raise too_large()

    fields: MultiDict[str, Any] = MultiDict(request.args)

    def begun() -> Upload:
        if not recording:
            raise InvalidRequest(f"the body must be a JSON object, such as {example}")
        if expected and jobs is None and (request.content_length or limit) > SMALL_BYTES:
            with suppress(ServiceError):
                services().speech.warm(expected(fields))
        return uploads.enter_context(Upload(limit, jobs=jobs))

    chunks = _chunks()
    with ExitStack() as uploads:
        if request.mimetype == "multipart/form-data":
            upload = _receive_form(chunks, fields, begun)
        else:
            head = next(chunks, b"")
            kind = _kind(head)
            if kind == "recording":
                upload = _spooled(begun(), chain([head], chunks))
            else:
                _read_text(kind, _whole(head, chunks), fields, text_field, example)
                upload = _from_field(fields, begun)
        if upload is not None:
            upload = _unwrapped(upload, begun)
            # For monitoring: a chunked body has no Content-Length.
            current_request().received_bytes = upload.size_bytes
            if not upload.size_bytes:
                raise InvalidAudio(f"the recording is empty (0 bytes); {ACCEPTED}", "file")
        yield fields, upload


def _kind(head: bytes) -> str:
    """
    What a body is that begins with *head*: "json", "form", "text" or "recording".

    Its first bytes say so: curl says application/x-www-form-urlencoded of whatever it was not told of.
    """
    if request.is_json or head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return "json"
    if CONTROLS.search(head, 0, 512) or DATA_URL.match(head) or BASE64.fullmatch(head):
        return "recording"
    if request.mimetype == "application/x-www-form-urlencoded" and b"=" in head:
        return "form"
    return (
        "text" if request.mimetype in ("", "text/plain", "application/x-www-form-urlencoded") else "recording"
    )


def _read_text(kind: str, body: bytes, fields: MultiDict[str, Any], text_field: str, example: str) -> None:
    """Put what *body* says into *fields*."""
    if kind == "json":
        _set(fields, _json(body, example).items())
    elif kind == "form":
        try:
            pairs = parse_qsl(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=MAX_PARTS)
        except ValueError:
            raise InvalidRequest(f"a form has at most {MAX_PARTS} fields") from None
        _set(fields, pairs)
    elif body:
        _set(fields, [(text_field, body.decode(errors="replace"))])


def _set(fields: MultiDict[str, Any], found: Iterable[tuple[str, Any]]) -> None:
    """Put what was *found* in the place of what *fields* have of these names."""
    for name, values in MultiDict(found).lists():
        fields.setlist(name, values)


def _json(body: bytes, example: str) -> dict[str, Any]:
    """The JSON object that *body* is, refused before it is read where it is larger than any request needs."""
    try:
        text = body.decode(json.detect_encoding(body), "surrogatepass")
        # Split at the quotes that are not escaped, every second piece is outside of the strings.
        pieces = text.replace(r"\\", "").replace(r"\"", "").split('"', MAX_JSON_SIGNS)
        signs = sum(piece.count(sign) for piece in pieces[::2] for sign in ",:[{")
        if len(pieces) > MAX_JSON_SIGNS or signs > MAX_JSON_SIGNS:
            raise InvalidRequest(
                "the JSON has more names, values, lists or objects than any request needs; "
                f"send an object of a few fields, such as {example}"
            )
        found = json.loads(text)
    except (ValueError, RecursionError):  # no JSON, or lists within lists, a thousand deep
        found = None
    if not isinstance(found, dict):
        raise InvalidRequest(f"the body must be a JSON object, such as {example}")
    return found


def _from_field(fields: MultiDict[str, Any], begun: Callable[[], Upload]) -> Upload | None:
    """The recording that stands in a field of JSON or of a form, in base64 or as a `data:` URL."""
    name = next((name for name in FILE_FIELDS if fields.get(name)), None)
    if name is None:
        return None
    text = str(fields.pop(name)).encode()
    if not (DATA_URL.match(text) or BASE64.fullmatch(text)):
        raise InvalidRequest(
            f"{name} is a text, and neither base64 nor a data: URL; nothing is fetched from an address; {ACCEPTED}",
            name,
        )
    return _spooled(begun(), [text])


def _whole(head: bytes, chunks: Iterable[bytes]) -> bytes:
    """A body that is read into memory; 413 past TEXT_LIMIT_BYTES."""
    body = bytearray(head)
    for chunk in chunks:
        body += chunk
        if len(body) > TEXT_LIMIT_BYTES:
            most = TEXT_LIMIT_BYTES >> 20
            raise RequestEntityTooLarge(
                f"JSON and text have at most {most} MiB; for a longer recording, {ACCEPTED}"
            )
    return bytes(body)


def _spooled(upload: Upload, pieces: Iterable[bytes]) -> Upload:
    """*upload* with all *pieces* written."""
    for piece in pieces:
        upload.write(piece)
    return upload


def _unwrapped(upload: Upload, begun: Callable[[], Upload]) -> Upload:
    """*upload*, or what is in it where it came gzipped, in base64 or as a `data:` URL."""
    head = os.pread(upload.file.fileno(), CHUNK_BYTES, 0)
    if head.startswith(GZIP):
        decoded = _gunzipped
    elif DATA_URL.match(head) or BASE64.fullmatch(head):
        decoded = _from_base64
    else:
        return upload
    with upload:
        upload.file.seek(0)
        return _spooled(begun(), decoded(iter(lambda: upload.file.read(CHUNK_BYTES), b"")))


def _gunzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """What *chunks* of gzip hold, in bounded pieces: 64 KiB may hold 64 MiB."""
    inflate = zlib.decompressobj(wbits=47)  # gzip or zlib, whichever it is
    try:
        for chunk in chunks:
            while chunk and not inflate.eof:
                yield inflate.decompress(chunk, CHUNK_BYTES)
                chunk = inflate.unconsumed_tail
    except zlib.error:
        raise InvalidAudio(f"the body came gzipped and can't be unpacked; {ACCEPTED}", "file") from None


def _from_base64(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """What *chunks* of base64, or of a `data:` URL, stand for."""
    rest = b""
    try:
        for number, chunk in enumerate(chunks):
            chunk = chunk if number else DATA_URL.sub(b"", chunk, 1)
            rest += b"".join(chunk.split()).rstrip(b"=")
            whole = len(rest) // 4 * 4
            yield base64.b64decode(rest[:whole].translate(bytes.maketrans(b"-_", b"+/")), validate=True)
            rest = rest[whole:]
        yield base64.urlsafe_b64decode(rest + b"==="[: -len(rest) % 4])
    except binascii.Error:
        raise InvalidAudio(f"the recording came as base64 and can't be read; {ACCEPTED}", "file") from None


def _receive_form(
    chunks: Iterable[bytes], fields: MultiDict[str, Any], begun: Callable[[], Upload]
) -> Upload | None:
    """
    Read a form's parts as they come: its recording into an Upload, texts into *fields*.

    A file of another name than FILE_FIELDS is the recording where it is the only one. Werkzeug's own parser takes a
    file without a file name for a text, and keeps it in memory.
    """
    boundary = request.mimetype_params.get("boundary", "").encode()
    if not boundary:
        raise InvalidRequest("the form's Content-Type names no boundary")
    upload: Upload | None = None
    files: list[str] = []  # the names of those that were not expected
    found = False
    texts: list[tuple[str, bytearray]] = []
    room = FIELD_LIMIT_BYTES

    def keep(text: bytes) -> None:
        nonlocal room
        room -= len(text)
        if room < 0:
            raise TooLarge(f"the form's texts have more than {FIELD_LIMIT_BYTES >> 10} KiB in all")
        texts[-1][1].extend(text)

    def decoded() -> Iterator[tuple[str, str]]:
        return ((name, text.decode(errors="replace")) for name, text in texts)

    write: Callable[[bytes], object] = _drop
    try:
        for event in _events(chunks, boundary):
            if isinstance(event, Data):
                write(event.data)
            elif isinstance(event, Field | File):
                expected = event.name in FILE_FIELDS and not found
                if isinstance(event, File) and event.name not in FILE_FIELDS and event.filename:
                    files.append(event.name or "")
                if expected or (isinstance(event, File) and event.filename and upload is None):
                    if upload is not None:
                        upload.close()
                    found = expected
                    _set(fields, decoded())
                    upload = begun()
                    write = upload.write
                elif isinstance(event, File):
                    write = _drop
                else:
                    texts.append((event.name or "", bytearray()))
                    write = keep
        if upload is not None and not found and len(files) > 1:
            raise InvalidRequest(f"the form has files as {', '.join(files)}; {ACCEPTED}", "file")
    except ValueError as error:
        raise InvalidRequest(f"the form can't be read ({error}); {ACCEPTED}") from None
    _set(fields, decoded())
    if upload is not None and not found and not upload.size_bytes:  # a page's file field that was left empty
        return None
    return upload


def _events(chunks: Iterable[bytes], boundary: bytes) -> Iterator[Event]:
    """The form, as Werkzeug's decoder sees it; what is not a recording may be FIELD_LIMIT_BYTES in all."""
    decoder = MultipartDecoder(boundary, max_form_memory_size=2 * FIELD_LIMIT_BYTES, max_parts=MAX_PARTS)
    for chunk in chain(chunks, [None]):
        decoder.receive_data(chunk)
        while not isinstance(event := decoder.next_event(), NeedData | Epilogue):
            yield event


def _chunks() -> Iterator[bytes]:
    """The body as it comes, unpacked where it is packed."""
    coding = request.headers.get("Content-Encoding", "identity").lower()
    if coding not in ("identity", "", "gzip", "x-gzip", "deflate"):
        raise InvalidRequest(f"the body has Content-Encoding: {coding}; gzip, deflate and none are accepted")
    # A read waits until there is as much: the first is small, to see a form's head while the rest is on its way.
    first = iter([request.stream.read(HEAD_BYTES)])
    chunks = chain(first, iter(lambda: request.stream.read(CHUNK_BYTES), b""))
    return chunks if coding in ("identity", "") else _gunzipped(chunks)

"""How bodies come in: spooled to disk while they arrive, bounded, never whole in memory."""

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import chain
from typing import IO

from flask import Request, current_app, g, request
from werkzeug.datastructures import MultiDict
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

from ..errors import InsufficientStorage, InvalidAudio, InvalidRequest, TooLarge
from ..files import nameless

CHUNK_BYTES = 1 << 16
FIELD_LIMIT_BYTES = 1 << 17  # what the texts of a form may have in all
MAX_PARTS = 200

FILE_FIELDS = ("audio", "file")
ACCEPTED = f"send the recording as multipart field {' or '.join(FILE_FIELDS)}, or as the raw body"


class Upload:
    """
    A recording on disk, without a name: it is gone when it is closed, or when this process ends.

    Owned by the view, which closes it when the answer is complete.
    """

    def __init__(self, limit_bytes: int, file: IO[bytes] | None = None) -> None:
        self._limit = limit_bytes
        self.file = file or nameless(current_app.config["UPLOAD_DIR"] or tempfile.gettempdir())
        self.size_bytes = 0

    @property
    def path(self) -> str:
        """A path that other processes of the same user can open while this one holds the file."""
        return f"/proc/{os.getpid()}/fd/{self.file.fileno()}"

    def write(self, data: bytes) -> None:
        """Append; TooLarge past the limit, InsufficientStorage when the disk is full."""
        self.size_bytes += len(data)
        if self.size_bytes > self._limit:
            raise too_large()
        rest = memoryview(data)
        try:
            while rest:  # a disk that is nearly full takes less than it is given
                rest = rest[self.file.write(rest) :]
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise InsufficientStorage(
                "the disk recordings are received on is full; try again later"
            ) from None

    def close(self) -> None:
        """Let the file go."""
        self.file.close()


def too_large() -> TooLarge:
    """The refusal of an upload past MAX_UPLOAD_MB."""
    limit = current_app.config["MAX_UPLOAD_MB"]
    return TooLarge(f"the upload is larger than {limit} MiB; send a compressed or a shorter recording")


def receive_recording(begin: Callable[[int], Upload] = Upload) -> tuple[MultiDict[str, str], Upload]:
    """
    The fields of this request and its recording, from a form or a raw body; *begin* makes the upload for it.

    Fields stand in the form or in the query string; the form's win. InvalidRequest when there is no
    recording, InvalidAudio when it is empty, TooLarge past the limit, without reading the rest.
    """
    if request.mimetype in ("application/json", "application/x-www-form-urlencoded"):
        raise InvalidRequest(f"a body of type {request.mimetype} holds no recording; {ACCEPTED}", "file")
    fields, upload = receive(begin)
    if upload is None:
        raise InvalidRequest(f"the form has no recording; {ACCEPTED}", "file")
    return fields, upload


def receive(begin: Callable[[int], Upload] = Upload) -> tuple[MultiDict[str, str], Upload | None]:
    """The same for a form that may have no recording; None then."""
    limit = current_app.config["MAX_UPLOAD_MB"] << 20
    request.max_content_length = limit + 2 * FIELD_LIMIT_BYTES
    if (request.content_length or 0) > request.max_content_length:
        raise too_large()
    fields: MultiDict[str, str] = MultiDict(request.args)
    if request.mimetype == "multipart/form-data":
        upload = _receive_form(request, fields, lambda: begin(limit))
    else:
        with ExitStack() as unless_whole:
            upload = unless_whole.enter_context(closing(begin(limit)))
            for chunk in _chunks(request):
                upload.write(chunk)
            unless_whole.pop_all()
    if upload is None:
        return fields, None
    g.received_bytes = upload.size_bytes  # for monitoring: a chunked body has no Content-Length
    if not upload.size_bytes:
        upload.close()
        raise InvalidAudio(f"the recording is empty (0 bytes); {ACCEPTED}", "file")
    return fields, upload


def _receive_form(source: Request, fields: MultiDict[str, str], begin: Callable[[], Upload]) -> Upload | None:
    """
    Read a form's parts as they come: its first recording into an Upload, texts into *fields*.

    Werkzeug's own parser takes a file without a file name for a text, and keeps it in memory.
    """
    boundary = source.mimetype_params.get("boundary", "").encode()
    if not boundary:
        raise InvalidRequest("the form's Content-Type names no boundary")
    upload: Upload | None = None
    texts: list[tuple[str, bytearray]] = []
    room = FIELD_LIMIT_BYTES

    def keep(text: bytes) -> None:
        nonlocal room
        room -= len(text)
        if room < 0:
            raise TooLarge(f"the form's texts have more than {FIELD_LIMIT_BYTES >> 10} KiB in all")
        texts[-1][1].extend(text)

    write: Callable[[bytes], object] = _drop
    with ExitStack() as unless_whole:
        try:
            for event in _events(source, boundary):
                if isinstance(event, Data):
                    write(event.data)
                elif isinstance(event, Field | File):
                    if event.name in FILE_FIELDS and upload is None:
                        upload = unless_whole.enter_context(closing(begin()))
                        write = upload.write
                    elif isinstance(event, File):
                        write = _drop
                    else:
                        texts.append((event.name or "", bytearray()))
                        write = keep
        except ValueError as error:
            raise InvalidRequest(f"the form can't be read ({error}); {ACCEPTED}") from None
        unless_whole.pop_all()
    for name in {name for name, _ in texts}:
        fields.setlist(name, [text.decode(errors="replace") for other, text in texts if other == name])
    return upload


def _events(source: Request, boundary: bytes) -> Iterator[Event]:
    """The form, as Werkzeug's decoder sees it; what is not a recording may be FIELD_LIMIT_BYTES in all."""
    decoder = MultipartDecoder(boundary, max_form_memory_size=2 * FIELD_LIMIT_BYTES, max_parts=MAX_PARTS)
    for chunk in chain(_chunks(source), [None]):
        decoder.receive_data(chunk)
        while not isinstance(event := decoder.next_event(), NeedData | Epilogue):
            yield event


def _drop(data: bytes) -> None:
    """Where parts nobody asked for go."""


def _chunks(source: Request) -> Iterator[bytes]:
    while chunk := source.stream.read(CHUNK_BYTES):
        yield chunk

"""Bodies: what is understood, however it is sent, and what the refusal of the rest says."""

import base64
import gzip
import json

import pytest
from flask import Flask

from app.errors import InsufficientStorage, InvalidRequest
from app.files import nameless
from app.http.requests import Upload, receive_fields

from ..likeness import understood
from ..recordings import AUSTEN_SHORT, NEURAL, recorded_as
from ..server import Server, form

VOICE = "/api/v1/pam/voice"
TRANSCRIBE, SPEAK, JOBS = f"{VOICE}/transcribe", f"{VOICE}/speak", f"{VOICE}/jobs"
OPENAI = "/v1/audio/transcriptions?model=whisper-1"
CURL = {"Content-Type": "application/x-www-form-urlencoded"}  # what curl says of whatever it is not told of
ROUTES = [TRANSCRIBE, VOICE, OPENAI]


@pytest.fixture(scope="module")
def server():
    with Server(TTS_ENGINE="espeak", ENGINE_IDLE_SECONDS="30") as server:
        yield server


def heard(answer, clip=AUSTEN_SHORT):
    assert answer.status == 200, answer.body
    return understood(answer.json["text"], clip.text)


@pytest.mark.parametrize(
    ("route", "container"),
    [
        *[
            (TRANSCRIBE, kind)
            for kind in ("webm_chrome", "mp3", "m4a_phone", "amr_phone", "aac", "wav_telephone")
        ],
        (VOICE, "ogg_firefox"),
        (OPENAI, "flac"),
    ],
)
def test_a_recording_is_one_whatever_its_content_type_says(server, route, container):
    """`curl --data-binary @recording` says that it is a form."""
    assert server.request("POST", route, recorded_as(container), CURL).status == 200


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "audio/webm", "", None])
def test_what_it_is_called_does_not_matter(server, kind):
    headers = {} if kind is None else {"Content-Type": kind}
    assert heard(server.request("POST", TRANSCRIBE, NEURAL.path.read_bytes(), headers), NEURAL)


def test_a_recording_called_a_form_becomes_a_job(server):
    answer = server.request("POST", f"{JOBS}?format=srt", recorded_as("ogg_firefox"), CURL)
    assert (answer.status, answer.json["kind"]) == (202, "transcribe")


@pytest.mark.parametrize(
    ("route", "field"),
    [(TRANSCRIBE, "audio_file"), (TRANSCRIBE, "blob"), (VOICE, "recording"), (OPENAI, "upload")],
)
def test_the_only_file_of_a_form_is_the_recording(server, route, field):
    assert heard(server.upload(route, AUSTEN_SHORT.path.read_bytes(), field=field, prompt="Miss"))


def two_files(first, second):
    boundary = "b"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="a"\r\n\r\n'.encode() + data
        for name, data in (first, second)
    ]
    return b"\r\n".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_files_the_one_with_the_right_name_is_taken(server, order):
    files = [("cover", b"\x89PNG picture"), ("audio", AUSTEN_SHORT.path.read_bytes())][::order]
    body, kind = two_files(*files)
    assert heard(server.request("POST", TRANSCRIBE, body, {"Content-Type": kind}))


def test_of_two_files_with_other_names_neither_is(server):
    body, kind = two_files(("front", b"\0one"), ("back", b"\0two"))
    error = server.request("POST", TRANSCRIBE, body, {"Content-Type": kind}).error
    assert "front, back" in error["message"]
    assert "audio or file" in error["message"]


@pytest.mark.parametrize(
    ("body", "kind", "named"),
    [
        (*form(b"a text", field="audio_text", name=None, model="x"), "audio_text, model"),
        (b"lang=en&note=x", "application/x-www-form-urlencoded", "lang, note"),
        (b'{"url": "https://example.com/a.mp3"}', "application/json", "url"),
        (b"Dear sir, this is a letter.", "text/plain", "text/plain"),
    ],
)
def test_the_refusal_of_a_body_without_a_recording_says_what_came(server, body, kind, named):
    error = server.request("POST", TRANSCRIBE, body, {"Content-Type": kind}).error
    assert (error["code"], error["param"]) == ("invalid_request", "file")
    assert named in error["message"]
    assert "audio or file" in error["message"]


@pytest.mark.parametrize("route", [TRANSCRIBE, OPENAI])
def test_a_gzipped_body_is_unpacked(server, route):
    packed = gzip.compress(recorded_as("wav"))
    assert heard(
        server.request("POST", route, packed, {"Content-Encoding": "gzip", "Content-Type": "audio/wav"})
    )
    assert heard(server.request("POST", route, packed, {"Content-Type": "application/octet-stream"}))


def test_a_gzipped_form_and_a_gzipped_file_in_a_form_are_unpacked(server):
    body, kind = form(AUSTEN_SHORT.path.read_bytes())
    assert heard(
        server.request(
            "POST", TRANSCRIBE, gzip.compress(body), {"Content-Type": kind, "Content-Encoding": "gzip"}
        )
    )
    assert heard(server.upload(TRANSCRIBE, gzip.compress(recorded_as("wav")), name="recording.wav.gz"))


def test_a_gzipped_text_is_spoken(server):
    body = gzip.compress(b'{"text": "Hello."}')
    assert server.request("POST", SPEAK, body, {"Content-Encoding": "gzip"}).status == 200


@pytest.mark.parametrize(
    ("headers", "body", "named"),
    [
        ({"Content-Encoding": "br"}, b"x", "Content-Encoding: br"),
        ({"Content-Encoding": "gzip"}, b"no gzip at all", "gzip"),
        ({}, b"\x1f\x8b\x08\0broken" * 20, "gzip"),
    ],
)
def test_a_packed_body_that_cannot_be_unpacked_is_refused_by_name(server, headers, body, named):
    answer = server.request("POST", TRANSCRIBE, body, {"Content-Type": "audio/wav", **headers})
    assert answer.status == 400
    assert named in answer.error["message"]


def test_what_grows_past_the_limit_when_unpacked_is_refused():
    with Server(MAX_UPLOAD_MB="1") as server:
        bomb = gzip.compress(bytes(64 << 20))
        assert len(bomb) < 1 << 17
        for headers in ({"Content-Encoding": "gzip"}, {"Content-Type": "application/gzip"}):
            assert server.request("POST", TRANSCRIBE, bomb, headers).status == 413


ENCODED = base64.b64encode(recorded_as("mp3")).decode()


@pytest.mark.parametrize("text", [ENCODED, f"data:audio/mpeg;codecs=mp3;base64,{ENCODED}"])
def test_a_recording_in_json_is_heard(server, text):
    assert heard(server.post(TRANSCRIBE, {"audio": text, "prompt": "Miss"}))
    assert heard(server.post(OPENAI, {"file": text}))


def test_a_recording_in_base64_is_heard_as_a_body_and_in_a_form(server):
    lines = "\r\n".join(ENCODED[at : at + 76] for at in range(0, len(ENCODED), 76)).encode()
    url = f"data:audio/mpeg;base64,{ENCODED}".encode()
    safe = base64.urlsafe_b64encode(recorded_as("mp3")).rstrip(b"=")
    for body in (lines, url, safe):
        assert heard(server.request("POST", TRANSCRIBE, body, {"Content-Type": "text/plain"}))
        assert heard(server.request("POST", TRANSCRIBE, body, CURL))
    body, kind = form(url, name=None)
    assert heard(server.request("POST", TRANSCRIBE, body, {"Content-Type": kind}))


@pytest.mark.parametrize("text", ["https://example.com/a.mp3", "Hello.", 7, ["a"]])
def test_a_field_that_is_no_recording_is_refused_by_name(server, text):
    error = server.post(TRANSCRIBE, {"audio": text}).error
    assert error["param"] == "audio"
    assert "base64" in error["message"]


def test_json_past_its_limit_says_how_larger_recordings_are_sent(server):
    answer = server.post(TRANSCRIBE, {"audio": ENCODED * 60})
    assert answer.status == 413
    assert "audio or file" in answer.error["message"]


TEXTS = [
    (SPEAK, {"text": "Hello."}),
    (VOICE, {"text": "Hello."}),
    (JOBS, {"text": "Hello."}),
    ("/v1/audio/speech", {"input": "Hello.", "model": "tts-1", "voice": "alloy"}),
    ("/api/memory/optimize", {"unload": True}),
]


@pytest.mark.parametrize(("route", "body"), TEXTS)
@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "text/plain", "application/octet-stream", None]
)
def test_json_is_understood_whatever_its_content_type_says(server, route, body, kind):
    headers = {} if kind is None else {"Content-Type": kind}
    for text in (json.dumps(body), "\ufeff\r\n " + json.dumps(body)):
        answer = server.request("POST", route, text.encode(), headers)
        assert answer.status in (200, 202), answer.body
    if route == "/api/memory/optimize":
        assert "ended" in answer.json["message"]


@pytest.mark.parametrize(
    ("route", "body"),
    [
        (SPEAK, b"text=Good+morning.&format=wav"),
        (VOICE, b"text=Good+morning.&format=wav"),
        ("/v1/audio/speech", b"input=Good+morning.&model=tts-1&voice=alloy&response_format=wav"),
    ],
)
def test_a_form_is_spoken(server, route, body):
    assert server.request("POST", route, body, CURL).body[:4] == b"RIFF"


@pytest.mark.parametrize(
    "kind", ["text/plain", "text/plain; charset=utf-8", "application/x-www-form-urlencoded", None]
)
@pytest.mark.parametrize("route", [SPEAK, VOICE])
def test_plain_text_is_spoken(server, route, kind):
    headers = {} if kind is None else {"Content-Type": kind}
    answer = server.request("POST", f"{route}?format=wav", "Good morning, señor.".encode(), headers)
    assert answer.body[:4] == b"RIFF"


def test_a_recording_where_a_text_is_wanted_is_refused_with_what_is(server):
    error = server.request("POST", SPEAK, recorded_as("mp3"), CURL).error
    assert '{"text": "Hello."}' in error["message"]
    error = server.request("POST", "/v1/audio/speech", recorded_as("mp3"), CURL).error
    assert '"input"' in error["message"]


@pytest.mark.parametrize("body", [b"[]", b"hello", b"\xff", b'{"text": '])
def test_json_that_is_no_object_is_refused_with_an_example(body):
    with pytest.raises(InvalidRequest, match=r'a JSON object, such as \{"input"'):
        fields_of(body)


def fields_of(body: bytes, media_type: str = "application/json"):
    """What is read of *body* where no server is."""
    app = Flask("test")
    app.config["MAX_UPLOAD_MB"] = 1
    with app.test_request_context(method="POST", data=body, content_type=media_type):
        return receive_fields("input", '{"input": "Hello."}')


MANY = range(50_000)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({str(number): 1 for number in MANY}),
        json.dumps({"input": list(MANY)}),
        json.dumps({"input": [str(number) for number in MANY]}),
        json.dumps({"input": [[] for _ in MANY]}),
        json.dumps({"input": [{} for _ in MANY]}, separators=(",", ":")),
        json.dumps({f'{number}\\"\\\\': "" for number in MANY}),
        "[" * 100_000,
        '{"input": ' * 5_000,
    ],
    ids=["names", "numbers", "texts", "lists", "objects", "escaped", "deep lists", "deep objects"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_json_of_many_things_is_refused_before_it_is_read(text, encoding):
    """Each of them would take 50 bytes and more."""
    with pytest.raises(InvalidRequest, match=r'more names, .* such as \{"input"'):
        fields_of(text[:400_000].encode(encoding))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("sign", ['"', "\\", '\\"', ",", ":[{", "\n", "a: 'b', ", "\U0001f600", '\\\\"'])
def test_what_a_text_in_json_is_made_of_does_not_matter(sign, encoding):
    text = sign * 10_000
    for ascii_only in (True, False):
        body = json.dumps({"input": text, "speed": 1}, ensure_ascii=ascii_only).encode(encoding)
        fields = fields_of(body)
        assert (fields["input"], fields["speed"]) == (text, 1)


def test_a_form_of_many_names_is_refused_before_it_is_read():
    with pytest.raises(InvalidRequest, match="at most 200 fields"):
        fields_of(b"&".join(b"%d=1" % number for number in MANY), CURL["Content-Type"])


@pytest.mark.parametrize(
    "path",
    ["/health", "/api/memory", "/v1/models", "/v1/models/tts-1", "/dashboard", f"{VOICE}/voices", JOBS],
)
def test_a_slash_at_the_end_of_a_path_changes_nothing(server, path):
    assert server.get(f"{path}/").status == server.get(path).status == 200


def test_a_slash_at_the_end_loses_no_body(server):
    assert server.post(f"{SPEAK}/", {"text": "Hello."}).status == 200
    assert heard(server.upload(f"{TRANSCRIBE}/", AUSTEN_SHORT.path.read_bytes()))
    assert heard(server.upload(f"{VOICE}/", AUSTEN_SHORT.path.read_bytes()))
    assert heard(
        server.upload("/v1/audio/transcriptions/", AUSTEN_SHORT.path.read_bytes(), model="whisper-1")
    )


def test_a_full_disk_is_said_to_be_one():
    upload = Upload(1 << 20, open("/dev/full", "wb", buffering=0))  # noqa: SIM115 (closed by `close`)
    with pytest.raises(InsufficientStorage, match="full"):
        upload.write(b"a recording")
    upload.close()


def test_an_upload_has_no_name_and_what_was_written_can_be_read_at_its_path(tmp_path):
    upload = Upload(1 << 20, nameless(str(tmp_path)))
    upload.write(b"a recording")
    with open(upload.path, "rb") as file:
        assert file.read() == b"a recording"
    assert list(tmp_path.iterdir()) == []
    upload.close()

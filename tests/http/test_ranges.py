"""Parts of what has a known length: RFC 9110, sections 13 and 14, as players ask for them."""

import http.client
from contextlib import closing

import pytest

from ..processes import until
from ..recordings import AUSTEN_SHORT
from ..server import Server

VOICE = "/api/v1/pam/voice"


@pytest.fixture(scope="module")
def server():
    with Server(TTS_ENGINE="espeak", ENGINE_IDLE_SECONDS="30") as server:
        yield server


def finished(server, answer):
    """Where the result of the job is that *answer* tells of."""
    place = answer.headers["Location"]
    until(lambda: server.get(place).json["state"] == "succeeded", "the job succeeds")
    return f"{place}/result"


@pytest.fixture(scope="module")
def places(server):
    """What has a known length, by name."""
    spoken = server.post(f"{VOICE}/jobs", {"text": "Good morning, everybody.", "format": "mp3"})
    heard = server.upload(f"{VOICE}/jobs", AUSTEN_SHORT.path.read_bytes())
    return {
        "test": f"{VOICE}/test",
        "speech": finished(server, spoken),
        "subtitles": f"{finished(server, heard)}?format=vtt",
        "static": "/static/page.js",
    }


KINDS = pytest.mark.parametrize("kind", ["test", "speech", "subtitles", "static"])


@KINDS
@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-1", 0, 2),  # Safari's first question
        ("bytes=0-", 0, None),  # its second, and Chrome's first
        ("bytes=20-29", 20, 30),
        ("bytes=-7", -7, None),
        ("bytes=3-999999999", 3, None),
        ("bytes=-999999999", 0, None),
    ],
)
def test_a_part_is_that_part(server, places, kind, asked, first, last):
    whole = server.get(places[kind])
    assert whole.headers["Accept-Ranges"] == "bytes"
    part = server.get(places[kind], Range=asked)
    assert part.status == 206
    assert part.body == whole.body[first:last]
    assert int(part.headers["Content-Length"]) == len(part.body)
    begin = first if first >= 0 else len(whole.body) + first
    assert part.headers["Content-Range"] == f"bytes {begin}-{begin + len(part.body) - 1}/{len(whole.body)}"
    assert part.headers["Content-Type"] == whole.headers["Content-Type"]
    assert part.headers["ETag"] == whole.headers["ETag"]


@KINDS
@pytest.mark.parametrize("asked", ["bytes=999999999-", "bytes=999999998-999999999", "bytes=-0"])
def test_a_part_that_is_not_there_is_416_and_says_how_much_is(server, places, kind, asked):
    answer = server.get(places[kind], Range=asked)
    assert answer.status == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(server.get(places[kind]).body)}"


@KINDS
@pytest.mark.parametrize(
    "asked", ["bytes=0-1,5-6", "bytes=5-2", "bytes=a-b", "bytes", "lines=0-1", "", "bytes=0-1;x", "bytes=-"]
)
def test_several_parts_and_what_is_no_range_are_answered_with_the_whole(server, places, kind, asked):
    answer = server.get(places[kind], Range=asked)
    assert (answer.status, answer.body) == (200, server.get(places[kind]).body)


@KINDS
def test_a_part_is_of_the_version_that_was_asked_for_or_it_is_the_whole(server, places, kind):
    tag = server.get(places[kind]).headers["ETag"]
    assert not tag.startswith("W/")
    assert server.get(places[kind], **{"Range": "bytes=0-1", "If-Range": tag}).status == 206
    assert server.get(places[kind], **{"Range": "bytes=0-1", "If-Range": '"another"'}).status == 200
    assert server.get(places[kind], **{"If-None-Match": tag}).status == 304
    assert server.get(places[kind], **{"If-None-Match": '"another"'}).status == 200


@KINDS
def test_a_head_has_no_body_and_no_parts(server, places, kind):
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        for headers in ({}, {"Range": "bytes=0-1"}):
            connection.request("HEAD", places[kind], headers=headers)
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"")
            assert answer.headers["Accept-Ranges"] == "bytes"
            assert len(answer.headers.get_all("Date")) == 1
            assert int(answer.headers["Content-Length"]) == len(server.get(places[kind]).body)


@KINDS
def test_a_connection_is_used_again_after_a_part(server, places, kind):
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        for asked in ("bytes=0-1", "bytes=2-3", "bytes=999999999-", "bytes=-1"):
            connection.request("GET", places[kind], headers={"Range": asked})
            assert connection.getresponse().read()


def test_a_file_put_together_from_its_parts_is_the_file(server, places):
    whole = server.get(places["speech"]).body
    parts = [
        server.get(places["speech"], Range=f"bytes={at}-{at + 999}").body for at in range(0, len(whole), 1000)
    ]
    assert b"".join(parts) == whole


def test_speech_that_is_streamed_has_no_parts(server):
    """Its length is not known while it is made."""
    answer = server.post(f"{VOICE}/speak", {"text": "Never said before."}, Range="bytes=0-1")
    assert answer.status == 200
    assert len(answer.body) > 2


def test_what_was_sent_of_a_part_is_what_is_counted(server, places):
    def counted(series):
        lines = server.get("/metrics").body.decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(series))

    def sent():
        return counted(f'http_response_body_bytes_total{{route="{VOICE}/jobs/<id>/result"')

    until(lambda: counted("http_requests_in_progress") == 1, "whatever was asked before is counted")
    before = sent()
    server.get(places["speech"], Range="bytes=0-99")
    until(lambda: sent() == before + 100, "the part was counted, which happens once it is out")

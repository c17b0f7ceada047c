"""The server that transcribes for us: asked where it is configured, and believed only so far."""

import http.server
import json
import threading

import pytest

from app.config import Settings
from app.errors import InvalidRequest, UpstreamFailed
from app.speech.transcription import TranscriptionRequest
from app.speech.upstream import MAX_RESPONSE_BYTES, UpstreamTranscriber

from ..recordings import AUSTEN_SHORT


@pytest.fixture
def upstream():
    """A server that answers what it is told to, and notes what it is asked."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append((self.path, self.headers["Authorization"]))
            self.rfile.read(int(self.headers["Content-Length"]))
            server.answer(self)

        do_GET = do_POST

        def log_message(self, *_):
            pass

    asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        server.asked, server.url = asked, f"http://127.0.0.1:{server.server_port}"
        yield server
        server.shutdown()
        thread.join()


def transcribe(url, *, timeout_seconds=60.0):
    transcriber = UpstreamTranscriber(
        Settings(
            openai_base_url=f"{url}/v1",
            openai_api_key="the-upstreams-key",
            openai_model="whisper-1",
            openai_timeout_seconds=timeout_seconds,
        )
    )
    request = TranscriptionRequest(path=str(AUSTEN_SHORT.path))
    return list(transcriber.transcribe(request, lambda: True))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_the_key_stays_here(upstream, status):
    def redirect(handler):
        handler.send_response(status)
        handler.send_header("Location", f"{upstream.url}/elsewhere")
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"{}")

    upstream.answer = redirect
    with pytest.raises(UpstreamFailed, match=f"answered {status}"):
        transcribe(upstream.url)
    assert upstream.asked == [("/v1/audio/transcriptions", "Bearer the-upstreams-key")]


def test_an_answer_that_comes_byte_by_byte_is_given_up(upstream):
    """Each byte would be progress to the connection's own timeout."""
    over = threading.Event()

    def drip(handler):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(500):
            if over.wait(0.02):
                return
            handler.wfile.write(b" ")

    upstream.answer = drip
    try:
        with pytest.raises(UpstreamFailed, match="TimeoutError"):
            transcribe(upstream.url, timeout_seconds=0.5)
    finally:
        over.set()


def says(content, status=200):
    """Answers with *content*, as JSON unless it is bytes."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()

    def answer(handler):
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        b"<!DOCTYPE html><title>Sign in</title>",
        b"",
        [],
        {"text": "x", "duration": "long"},
        {"text": "x", "segments": 5},
        {"text": "x", "segments": ["x"]},
        {"text": "x", "segments": [{"text": "x"}]},
        {"text": "x", "segments": [{"text": "x", "start": None, "end": 1.0}]},
        {"text": "x", "duration": 1.0, "words": [{"word": "x"}]},
        {"text": "x", "duration": 1.0, "words": 7},
    ],
)
def test_an_answer_that_is_no_transcript_is_the_servers_failure(upstream, answer):
    upstream.answer = says(answer)
    with pytest.raises(UpstreamFailed, match="did not answer as expected"):
        transcribe(upstream.url)


@pytest.mark.parametrize(
    ("status", "error"), [(400, InvalidRequest), (401, UpstreamFailed), (500, UpstreamFailed)]
)
@pytest.mark.parametrize(
    "answer",
    [{"error": {"message": "too quiet"}}, {"error": "too quiet"}, {"detail": "too quiet"}, ["too quiet"]],
)
def test_a_refusal_in_any_words_is_a_refusal(upstream, status, error, answer):
    upstream.answer = says(answer, status)
    with pytest.raises(error, match="too quiet" if "error" in answer else "OPENAI_BASE_URL"):
        transcribe(upstream.url)


def test_what_else_a_server_says_of_segments_and_words_is_passed_over(upstream):
    word = {"word": "Hi", "start": 0, "end": 1, "speaker": "A"}
    segment = {"id": 7, "kind": "speech", "text": "Hi", "start": 0, "end": 1, "speaker": "A"}
    upstream.answer = says({"text": "Hi", "duration": 1, "segments": [segment], "words": [word]})
    (found,) = transcribe(upstream.url)
    assert (found.id, found.text, found.start, found.end) == (0, "Hi", 0.0, 1.0)
    assert [tuple(each) for each in found.words] == [("Hi", 0.0, 1.0, 1.0)]


def test_an_endless_answer_is_given_up(upstream):
    def flood(handler):
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(2 * MAX_RESPONSE_BYTES >> 20):
                handler.wfile.write(bytes(1 << 20))
        except OSError:
            pass

    upstream.answer = flood
    with pytest.raises(UpstreamFailed, match="ValueError"):
        transcribe(upstream.url)

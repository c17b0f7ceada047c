"""What an operator finds at night: the log and the answers name the cause of each symptom that the runbook has."""

import pytest

from .processes import free_port, until
from .server import Server
from .test_server import AUSTEN_SHORT, VOICE

HEAR = f"{VOICE}/transcribe"


@pytest.fixture(scope="module")
def hopeless():
    """A service whose transcriber and Redis are away, and which has little patience."""
    nowhere = f"127.0.0.1:{free_port()}"
    with Server(
        DISABLE_LOCAL_WHISPER="true",
        OPENAI_BASE_URL=f"http://{nowhere}/v1",
        CELERY_BROKER_URL=f"redis://{nowhere}/0",
        AUDIO_SECONDS_PER_HOUR="1",
        TTS_ENGINE="espeak",
        TTS_CACHE_MB="0",
    ) as server:
        yield server


def lines_of(server, answer):
    """What the log has of the request that was answered; its own line, the last, may come after the answer."""
    id = answer.headers["X-Request-ID"]

    def lines():
        return [
            line.partition(f"request_id={id} ")[2]
            for line in server.log.splitlines()
            if f"request_id={id}" in line
        ]

    until(lambda: any(line.startswith("method=") for line in lines()), "the request has its line")
    return lines()


@pytest.mark.parametrize(
    ("ask", "status", "code", "route"),
    [
        (lambda s: s.upload(HEAR, AUSTEN_SHORT.path.read_bytes()), 503, "upstream_failed", HEAR),
        (lambda s: s.get(f"{VOICE}/jobs/abcdef"), 503, "broker_unavailable", "jobs/<id>"),
        (lambda s: s.get("/v1/models/nobody"), 404, "model_not_found", "models/<path:name>"),
        (lambda s: s.post(f"{VOICE}/speak", {"text": "..."}), 400, "nothing_to_say", "speak"),
    ],
    ids=["503", "503-path", "404", "400"],
)  # fmt: skip
def test_the_log_has_the_code_of_every_refusal_and_the_reason_of_every_failure(
    hopeless, ask, status, code, route
):
    answer = ask(hopeless)
    assert (answer.status, answer.error["code"]) == (status, code)
    *before, request = lines_of(hopeless, answer)
    assert f"status={status}" in request
    assert request.endswith(f" code={code}")
    assert [line for line in before if code in line and answer.error["message"] in line] or status < 500
    assert "abcdef" not in "".join(before)  # no path is logged, only its rule
    assert f"{route} " in request


def test_the_two_limits_that_answer_429_are_told_apart(hopeless):
    text = "One sentence that takes longer to say than the second this caller has."
    # It is charged once its last byte is out, which the client may have before.
    refused = until(
        lambda: (answer := hopeless.post(f"{VOICE}/speak", {"text": text})).status == 429 and answer,
        "no more",
    )
    assert refused.error["code"] == "audio_limit_exceeded"
    last = hopeless.get("/api/monitoring/security").json["recent"][0]
    assert (last["reason"], last["detail"]) == ("rate_limited", "audio_limit_exceeded")

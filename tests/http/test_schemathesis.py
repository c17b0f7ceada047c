"""The running server against its own description: no 5xx, and every answer as described."""

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.openapi.checks import JsonSchemaError
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from ..recordings import AUSTEN_SHORT

CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = 10  # of each operation
VOICE = "/api/v1/pam/voice"


@pytest.fixture(scope="session")
def described(openai_server):
    return schemathesis.openapi.from_url(f"{openai_server.url}/openapi.json")


def test_whatever_is_sent_the_answer_is_as_described(described):
    for result in described.get_all_operations():

        @given(case=result.ok().as_strategy())
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def answers_as_described(case):
            case.call_and_validate(checks=CHECKS, timeout=60)  # 10 s if not said

        answers_as_described()


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v1/audio/transcriptions", {"model": "whisper-1"}),
        (
            "/v1/audio/transcriptions",
            {
                "model": "whisper-1",
                "response_format": "verbose_json",
                "timestamp_granularities[]": ["segment", "word"],
            },
        ),
        ("/v1/audio/transcriptions", {"model": "whisper-1", "response_format": "vtt"}),
        ("/v1/audio/transcriptions", {"model": "whisper-1", "stream": "true"}),
        (f"{VOICE}/transcribe", {}),
        (f"{VOICE}/transcribe", {"word_timestamps": "true"}),
        (f"{VOICE}/transcribe", {"format": "srt"}),
        (VOICE, {}),
    ],
)
def test_a_transcript_is_as_described(openai_server, described, path, fields):
    with AUSTEN_SHORT.path.open("rb") as recording:
        answer = requests.post(openai_server.url + path, files={"file": recording}, data=fields, timeout=60)
    assert answer.status_code == 200
    described[path]["POST"].validate_response(answer)


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/audio/speech", {"model": "tts-1", "voice": "alloy", "input": "Hello."}),
        (f"{VOICE}/speak", {"text": "Hello.", "format": "opus"}),
        (VOICE, {"text": "Hello."}),
        (f"{VOICE}/test", {}),
        ("/api/memory/optimize", {"unload": True}),
    ],
)
def test_what_json_asks_for_is_as_described(openai_server, described, path, asked):
    answer = requests.post(openai_server.url + path, json=asked, timeout=60)
    assert answer.status_code == 200
    described[path]["POST"].validate_response(answer)


def test_an_answer_that_is_not_as_described_is_noticed(openai_server, described):
    """Else the tests above would prove nothing."""
    answer = requests.get(f"{openai_server.url}/v1/audio/voices", timeout=60)
    with pytest.raises(JsonSchemaError, match="data"):
        described["/v1/models"]["GET"].validate_response(answer)

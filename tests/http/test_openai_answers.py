"""What OpenAI's routes make of what a transcriber finds: an invented one, for what the model here does not do."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from app import create_app
from app.config import Settings
from app.engine.protocol import Message
from app.errors import EngineDied, EngineTimeout, ServiceError
from app.services import Services
from app.speech.transcription import Transcription, TranscriptionRequest

from ..server import form

TRANSCRIPTIONS, TRANSLATIONS = "/v1/audio/transcriptions", "/v1/audio/translations"


@dataclass
class Invented:
    """A multilingual transcriber that hears German, says two segments, and then perhaps fails."""

    model: str = "base"
    error: ServiceError | None = None
    asked: list[TranscriptionRequest] = field(default_factory=list)
    closed: int = 0

    def transcribe(self, request: TranscriptionRequest, wanted: Callable[[], bool]) -> Transcription:
        self.asked.append(request)
        return Transcription(self.model, self.messages())

    def messages(self) -> Iterator[Message]:
        try:
            yield Message({"kind": "start", "language": "de", "language_probability": 0.9})
            for number, text in enumerate((" Guten Tag.", " Wie geht es?")):
                yield Message({**SEGMENT, "id": number + 1, "start": number * 3600.0, "text": text})
            if self.error:
                raise self.error
            yield Message({"kind": "end", "duration": 3602.4})
        finally:
            self.closed += 1


SEGMENT = {
    "kind": "segment", "seek": 0, "end": 3602.0, "tokens": [1], "temperature": 0.0, "avg_logprob": -0.1,
    "compression_ratio": 1.0, "no_speech_prob": 0.0, "words": None,
}  # fmt: skip


@pytest.fixture
def invented():
    return Invented()


@pytest.fixture
def web(invented):
    services = Services.build(Settings())
    services.speech.transcriber = invented
    yield create_app(services.settings, services).test_client()
    services.close()


def post(web, path=TRANSCRIPTIONS, **fields):
    body, content_type = form(b"sound", field="file", **{"model": "base", **fields})
    return web.post(path, data=body, content_type=content_type)


def events(answer):
    return [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]


def test_a_translation_says_it_is_one_and_is_english(web, invented):
    answer = post(web, TRANSLATIONS, response_format="verbose_json").json
    assert (answer["task"], answer["language"]) == ("translate", "english")
    assert answer["text"] == "Guten Tag. Wie geht es?"
    assert invented.asked[0].task == "translate"


def test_a_transcript_names_the_language_that_was_heard(web):
    answer = post(web, response_format="verbose_json").json
    assert (answer["task"], answer["language"], answer["duration"]) == ("transcribe", "german", 3602.4)
    assert answer["usage"] == {"type": "duration", "seconds": 3603}
    assert [segment["id"] for segment in answer["segments"]] == [0, 1]


@pytest.mark.parametrize(
    ("written", "code"), [("de", "de"), ("de-AT", "de"), ("German", "de"), ("", None), ("auto", None)]
)
def test_a_language_is_understood_as_people_write_it(web, invented, written, code):
    assert post(web, language=written).status_code == 200
    assert invented.asked[0].language == code


def test_a_translation_takes_no_language(web, invented):
    assert post(web, TRANSLATIONS, language="klingon").status_code == 200
    assert invented.asked[0].language is None


def test_fields_reach_the_transcriber(web, invented):
    post(web, prompt=" Names: Mr. Darcy ", temperature="0.0", **{"timestamp_granularities[]": "word"})
    (asked,) = invented.asked
    assert (asked.prompt, asked.temperature, asked.word_timestamps) == ("Names: Mr. Darcy", 0.0, True)


def test_an_error_before_the_first_byte_has_its_status(web, invented):
    invented.error = EngineTimeout("no progress")
    answer = post(web)
    assert answer.status_code == 503
    assert answer.json["error"]["code"] == "engine_timeout"
    assert answer.headers["X-Should-Retry"] == "false"


def test_an_error_on_the_way_is_an_event_after_what_was_found(web, invented):
    invented.error = EngineDied("it ended")
    *found, last = events(post(web, stream="true"))
    assert [event["delta"] for event in found] == ["Guten Tag.", " Wie geht es?"]
    assert last["type"] == "error"
    assert last["error"]["code"] == "engine_died"


def test_what_can_be_tried_again_says_so(web, invented):
    invented.error = EngineDied("it ended")
    answer = post(web)
    assert (answer.headers["X-Should-Retry"], answer.headers["Retry-After"]) == ("true", "1")


def test_our_own_route_streams_segments_and_then_what_is_known(web):
    body, content_type = form(b"sound", stream="true")
    answer = web.post("/api/v1/pam/voice/transcribe", data=body, content_type=content_type)
    *segments, done = events(answer)
    assert [segment["text"] for segment in segments] == ["Guten Tag.", "Wie geht es?"]
    assert (done["language"], done["duration"], done["model"]) == ("de", 3602.4, "base")


@pytest.mark.parametrize("fields", [{}, {"stream": "true"}])
def test_the_transcription_is_closed(web, invented, fields):
    post(web, **fields).get_data()
    assert invented.closed == 1


def test_subtitles_go_past_the_hour(web):
    assert "01:00:00,000 --> 01:00:" in post(web, response_format="srt").text

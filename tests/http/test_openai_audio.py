"""OpenAI's audio API, asked by OpenAI's own client: the real server, the real model, real recordings."""

import asyncio
import base64
import io
import json
import threading

import av
import numpy as np
import openai
import pytest
import srt
import webvtt
from openai import AsyncOpenAI, DefaultHttpxClient, OpenAI

from ..likeness import understood
from ..processes import until
from ..recordings import AUSTEN, AUSTEN_SHORT, CLIPS, DATA, NOT_RECORDINGS, recorded_as, silence, wav
from ..server import Server, form

JAPANESE = DATA / "japanese_6s.mp3"
TRANSCRIPTIONS = "/v1/audio/transcriptions"
SEGMENT_FIELDS = {
    "id", "seek", "start", "end", "text", "tokens", "temperature", "avg_logprob", "compression_ratio",
    "no_speech_prob",
}  # fmt: skip
BROWSERS = ["webm_chrome", "webm_firefox", "ogg_firefox", "mp4_safari", "m4a_phone", "mp3", "flac", "wav"]


def transcribe(client, clip=AUSTEN_SHORT, **asked):
    return client.audio.transcriptions.create(model="whisper-1", file=clip.path, **asked)


def long_wav(seconds):
    """Speech for many windows: the clips, over and over. One alone would be taken for a loop, and tried again."""
    spoken = []
    for clip in CLIPS:
        with av.open(clip.path) as source:
            resampler = av.AudioResampler("s16", "mono", 16_000)
            frames = [one for frame in [*source.decode(audio=0), None] for one in resampler.resample(frame)]
        spoken += [frame.to_ndarray()[0] for frame in frames]
    once = np.concatenate(spoken)
    return wav(np.tile(once, round(seconds * 16_000 / once.size)))


def seats_taken(server):
    engines = server.get("/api/memory").json["budget"]["engines"]
    return next(engine["seats_taken"] for engine in engines if engine["name"] == "whisper")


def test_json_has_the_text_and_what_it_would_cost(client):
    answer = transcribe(client)
    assert understood(answer.text, AUSTEN_SHORT.text)
    assert (answer.usage.type, answer.usage.seconds) == ("duration", 4)


def test_text_is_the_text_and_a_newline(client):
    answer = transcribe(client, response_format="text")
    assert answer == transcribe(client).text + "\n"


def test_srt_is_read_by_a_parser(client):
    cues = list(srt.parse(transcribe(client, AUSTEN, response_format="srt")))
    assert understood(" ".join(cue.content for cue in cues), AUSTEN.text)
    assert cues[-1].end.total_seconds() <= AUSTEN.seconds + 1


def test_vtt_is_read_by_a_parser(client):
    cues = webvtt.from_string(transcribe(client, AUSTEN, response_format="vtt"))
    assert understood(" ".join(cue.text for cue in cues), AUSTEN.text)


def test_verbose_json_has_segments_of_exactly_ten_fields(client):
    answer = transcribe(client, AUSTEN, response_format="verbose_json")
    assert (answer.language, answer.task) == ("english", "transcribe")
    assert answer.duration == pytest.approx(AUSTEN.seconds, abs=0.05)
    assert answer.words is None
    assert [segment.id for segment in answer.segments] == list(range(len(answer.segments)))
    for segment in answer.segments:
        found = segment.model_dump()
        assert set(found) == SEGMENT_FIELDS
        assert None not in found.values()
    assert "".join(segment.text for segment in answer.segments).strip() == answer.text


def test_words_come_alone_when_they_alone_are_asked_for(client):
    answer = transcribe(client, AUSTEN, response_format="verbose_json", timestamp_granularities=["word"])
    assert answer.segments is None
    assert "".join(word.word for word in answer.words) == answer.text.replace(" ", "")
    starts = [word.start for word in answer.words]
    assert starts == sorted(starts)
    assert all(word.end >= word.start for word in answer.words)


def test_words_and_segments_come_together_when_both_are_asked_for(client):
    answer = transcribe(client, response_format="verbose_json", timestamp_granularities=["segment", "word"])
    assert answer.segments
    assert answer.words


def test_a_granularity_may_be_asked_for_without_brackets(openai_server):
    asked = {"model": "whisper-1", "response_format": "verbose_json", "timestamp_granularities": "word"}
    answer = openai_server.upload(TRANSCRIPTIONS, AUSTEN_SHORT.path.read_bytes(), field="file", **asked).json
    assert answer["words"]
    assert "segments" not in answer


def test_silence_is_an_empty_text(client):
    answer = client.audio.transcriptions.create(
        model="whisper-1", file=("a.wav", silence(2)), response_format="verbose_json"
    )
    assert (answer.text, answer.segments, answer.language) == ("", [], "english")


def test_streamed_deltas_are_the_text(client):
    events = list(transcribe(client, AUSTEN, stream=True))
    deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
    assert [event.type for event in events] == [
        *["transcript.text.delta"] * len(deltas),
        "transcript.text.done",
    ]
    assert "".join(deltas) == events[-1].text == transcribe(client, AUSTEN).text


def test_an_event_stream_begins_with_a_comment_and_ends_with_done(openai_server):
    answer = openai_server.upload(
        TRANSCRIPTIONS, AUSTEN_SHORT.path.read_bytes(), field="file", model="whisper-1", stream="true"
    )
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    frames = answer.body.decode().split("\n\n")
    assert frames[0].startswith(":")
    assert frames[-2:] == ["data: [DONE]", ""]
    # Another comment comes when nothing was ready for long.
    found = [frame for frame in frames[1:-2] if not frame.startswith(":")]
    assert found
    assert all(json.loads(frame.removeprefix("data: ")) for frame in found)


def test_what_is_refused_before_the_first_byte_has_its_status_when_streamed_too(client):
    with pytest.raises(openai.BadRequestError) as refusal:
        transcribe(client, stream=True, language="xx")
    assert refusal.value.param == "language"
    transcribe(client)  # the engine is awake: it says at once that a letter is no recording
    with pytest.raises(openai.APIError) as refusal:
        list(
            client.audio.transcriptions.create(
                model="whisper-1", file=("a.wav", NOT_RECORDINGS["text_named.wav"]()), stream=True
            )
        )
    assert "recording" in refusal.value.message


@pytest.mark.parametrize("container", BROWSERS)
def test_what_browsers_record_is_heard_whatever_it_is_called(client, container):
    answer = client.audio.transcriptions.create(
        model="gpt-4o-mini-transcribe", file=("audio.mp3", recorded_as(container), "application/octet-stream")
    )
    assert understood(answer.text, AUSTEN_SHORT.text)


def test_a_blob_without_a_name_is_heard(openai_server):
    """A browser's `form.append("file", blob)` names it blob; some clients leave the name out."""
    for name in ("blob", None):
        body, content_type = form(recorded_as("webm_chrome"), field="file", name=name, model="whisper-1")
        answer = openai_server.post(TRANSCRIPTIONS, body, **{"Content-Type": content_type})
        assert understood(answer.json["text"], AUSTEN_SHORT.text)


def test_the_file_may_come_first(openai_server):
    """Node's client sends the fields behind it."""
    boundary = "parts"
    file = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'.encode()
    model = f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--{boundary}--\r\n'
    body = file + AUSTEN_SHORT.path.read_bytes() + model.encode()
    answer = openai_server.post(
        TRANSCRIPTIONS, body, **{"Content-Type": f"multipart/form-data; boundary={boundary}"}
    )
    assert answer.status == 200


def test_an_upload_without_a_length_is_heard(openai_server):
    body, content_type = form(AUSTEN_SHORT.path.read_bytes(), field="file", model="whisper-1")
    pieces = iter([body[:1000], body[1000:]])
    answer = openai_server.post(TRANSCRIPTIONS, pieces, **{"Content-Type": content_type})
    assert understood(answer.json["text"], AUSTEN_SHORT.text)


def test_fields_that_mean_nothing_here_are_ignored(client):
    answer = transcribe(
        client, prompt="Miss Austen", temperature=0.0, language="en", include=["logprobs"],
        chunking_strategy={"type": "server_vad", "threshold": 0.5},
        extra_body={"keywords": ["amiable"], "made_up": "1"},
    )  # fmt: skip
    assert understood(answer.text, AUSTEN_SHORT.text)


@pytest.mark.parametrize(
    "model",
    ["whisper-1", "gpt-4o-mini-transcribe-2025-12-15", "gpt-transcribe", "gpt-live-transcribe", "gpt-realtime-whisper",
     "gpt-4o-transcribe-diarize", "tiny.en"],
)  # fmt: skip
def test_known_models_are_the_local_one(client, model):
    answer = client.audio.transcriptions.with_raw_response.create(model=model, file=AUSTEN_SHORT.path)
    assert answer.parse().text
    assert answer.headers["X-Model"] == "tiny.en"


@pytest.mark.parametrize("prefix", ["/openai/v1", ""])
def test_the_same_routes_are_where_other_clients_look_for_them(openai_server, prefix):
    with OpenAI(base_url=f"{openai_server.url}{prefix}", api_key="anything", max_retries=0) as client:
        assert understood(transcribe(client).text, AUSTEN_SHORT.text)
        assert client.models.retrieve("tiny.en").id == "tiny.en"
        with pytest.raises(openai.NotFoundError):
            transcribe(client, extra_body={"model": "whisper-9"})


def test_another_language_is_answered_by_the_model_that_knows_it(client):
    """The clients of OpenAI know one model, and send whatever is spoken."""
    answer = client.audio.transcriptions.create(
        model="whisper-1", file=JAPANESE, response_format="verbose_json",
        languages=["en", "ja"], keywords=["キャンプ"],
    )  # fmt: skip
    assert (answer.language, answer.model) == ("japanese", "base")
    assert answer.languages == [{"code": "ja"}]
    with pytest.warns(DeprecationWarning, match="deprecated"):
        translated = client.audio.translations.create(model="whisper-1", file=JAPANESE)
    assert translated.text.isascii()


def test_the_answer_names_the_languages_where_that_is_asked(client):
    assert transcribe(client).languages is None
    assert [each.code for each in transcribe(client, languages=["en", "de"]).languages] == ["en"]
    asked = {"model": "gpt-transcribe", "file": AUSTEN_SHORT.path}
    assert [each.code for each in client.audio.transcriptions.create(**asked).languages] == ["en"]
    *_, done = client.audio.transcriptions.create(**asked, stream=True)
    assert [each.code for each in done.languages] == ["en"]


def test_models_say_what_they_know_and_weigh(client):
    transcribe(client)
    found = {model.id: model for model in client.models.list()}
    assert found["tiny.en"].loaded
    assert found["tiny.en"].languages == ["en"]
    assert {"de", "ja"} <= set(found["base"].languages)
    assert 50 < found["tiny.en"].megabytes < found["base"].megabytes
    assert "de" in found["espeak"].languages
    assert client.models.retrieve("base").megabytes == found["base"].megabytes


@pytest.mark.parametrize(
    ("asked", "param", "code"),
    [
        ({"response_format": "diarized_json"}, "response_format", "unsupported_format"),
        ({"response_format": "xml"}, "response_format", "unsupported_format"),
        ({"temperature": 2}, "temperature", "invalid_request"),
        ({"language": "klingon"}, "language", "invalid_request"),
        ({"language": "de", "model": "tiny.en"}, "language", "model_cannot_translate"),
        ({"extra_body": {"languages": ["de", "klingon"]}}, "languages[]", "invalid_request"),
        ({"extra_body": {"languages": ["yue"]}}, "languages[]", "invalid_request"),
        (
            {"response_format": "verbose_json", "timestamp_granularities": ["syllable"]},
            "timestamp_granularities[]",
            "invalid_request",
        ),
        ({"stream": "perhaps"}, "stream", "invalid_request"),
        ({"model": ""}, "model", "invalid_request"),
    ],
)
def test_a_wrong_field_is_a_bad_request_that_names_it(client, asked, param, code):
    with pytest.raises(openai.BadRequestError) as refusal:
        client.audio.transcriptions.create(**{"model": "whisper-1", "file": AUSTEN_SHORT.path, **asked})
    assert (refusal.value.param, refusal.value.code) == (param, code)
    assert refusal.value.request_id
    assert refusal.value.type == "invalid_request_error"


@pytest.mark.parametrize("name", sorted(NOT_RECORDINGS))
def test_what_is_no_recording_is_a_bad_request(client, name):
    with pytest.raises(openai.BadRequestError) as refusal:
        client.audio.transcriptions.create(model="whisper-1", file=(name, NOT_RECORDINGS[name]()))
    assert refusal.value.code == "invalid_audio"


def test_an_unknown_model_is_not_found_and_the_known_are_named(client):
    with pytest.raises(openai.NotFoundError, match=r"tiny\.en") as refusal:
        client.audio.transcriptions.create(model="whisper-9", file=AUSTEN_SHORT.path)
    assert refusal.value.code == "model_not_found"


def test_an_english_model_does_not_translate(client):
    with (
        pytest.warns(DeprecationWarning, match="deprecated"),  # the client's own word on this method
        pytest.raises(openai.BadRequestError) as refusal,
    ):
        client.audio.translations.create(model="tiny.en", file=AUSTEN_SHORT.path)
    assert (refusal.value.code, refusal.value.param) == ("model_cannot_translate", "model")


def test_a_file_over_the_limit_is_too_large(client):
    with pytest.raises(openai.APIStatusError) as refusal:
        client.audio.transcriptions.create(model="whisper-1", file=("a.wav", bytes(26_214_401)))
    assert (refusal.value.status_code, refusal.value.code) == (413, "upload_too_large")


def test_a_client_that_goes_frees_its_seat_and_its_file(openai_server, client):
    stream = client.audio.transcriptions.create(model="whisper-1", file=("a.wav", long_wav(700)), stream=True)
    next(iter(stream))
    assert seats_taken(openai_server) == 1
    stream.close()
    until(lambda: seats_taken(openai_server) == 0, "the seat of a client that went is free")


class Attempts:
    """What came back to a client that repeats by itself, and what it does on the way."""

    def __init__(self, on_refusal=lambda: None):
        self.statuses, self._on_refusal = [], on_refusal

    def client(self, server, **options):
        http_client = DefaultHttpxClient(event_hooks={"response": [self._note]})
        return OpenAI(base_url=f"{server.url}/v1", api_key="x", http_client=http_client, **options)

    def _note(self, response):
        self.statuses.append(response.status_code)
        self.headers = response.headers
        if response.status_code == 503:
            self._on_refusal()


def test_a_full_queue_is_tried_again_by_the_client_itself():
    with Server(ENGINE_SEATS="1") as server, OpenAI(base_url=f"{server.url}/v1", api_key="x") as first:
        stream = first.audio.transcriptions.create(
            model="whisper-1", file=("a.wav", long_wav(700)), stream=True
        )
        next(iter(stream))
        attempts = Attempts(on_refusal=stream.close)
        with attempts.client(server, max_retries=10) as second:
            answer = transcribe(second)
    assert (attempts.statuses[0], attempts.statuses[-1]) == (503, 200)
    # More than one refusal where a busy machine sees late that the first client left.
    assert set(attempts.statuses[1:-1]) <= {503}
    assert understood(answer.text, AUSTEN_SHORT.text)


def test_work_that_can_never_be_done_here_is_not_tried_again():
    attempts = Attempts()
    with Server(DISABLE_LOCAL_WHISPER="true") as server, attempts.client(server, max_retries=2) as client:
        with pytest.raises(openai.InternalServerError) as refusal:
            transcribe(client)
        models = {model.id for model in client.models.list()}
    assert attempts.statuses[0] == 503
    assert attempts.statuses[1:] == [200]
    assert refusal.value.code == "local_whisper_disabled"
    assert refusal.value.response.headers["x-should-retry"] == "false"
    assert "whisper-1" not in models
    assert "tts-1" in models


def test_twenty_clients_at_once_are_all_answered(openai_server):
    """With the client's default of two retries; there are ten seats."""
    answers, errors = [], []
    with OpenAI(base_url=f"{openai_server.url}/v1", api_key="x") as client:
        transcribe(client)  # the engine is awake, and who is refused is told when there may be a seat

    def ask():
        with OpenAI(base_url=f"{openai_server.url}/v1", api_key="x") as client:
            try:
                answers.append(transcribe(client).text)
            except openai.APIError as error:
                errors.append(error)

    clients = [threading.Thread(target=ask) for _ in range(20)]
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    assert not errors
    assert len(answers) == 20
    assert all(understood(text, AUSTEN_SHORT.text) for text in answers)


def test_the_asynchronous_client_works_too(openai_server):
    async def ask():
        async with AsyncOpenAI(base_url=f"{openai_server.url}/v1", api_key="x") as client:
            text, speech = await asyncio.gather(
                client.audio.transcriptions.create(model="whisper-1", file=AUSTEN_SHORT.path),
                client.audio.speech.create(model="tts-1", voice="alloy", input="Hello."),
            )
            return text.text, speech.content

    text, speech = asyncio.run(ask())
    assert understood(text, AUSTEN_SHORT.text)
    assert duration(speech, "mp3") > 0.3


SENTENCE = "The quick brown fox jumps over the lazy dog, and nobody minds."


def speak(client, text=SENTENCE, **asked):
    return client.audio.speech.create(**{"model": "tts-1", "voice": "alloy", "input": text, **asked})


def duration(audio, format):
    """Seconds of decoded sound, which must not be silence."""
    options = {"format": "s16le", "options": {"ar": "24000", "ac": "1"}} if format == "pcm" else {}
    with av.open(io.BytesIO(audio), **options) as file:
        frames = list(file.decode(audio=0))
    assert max(float(np.abs(frame.to_ndarray()).max()) for frame in frames) > 0
    return sum(frame.samples / frame.sample_rate for frame in frames)


def alike(one, other):
    """Whether two recordings are the same but for espeak-ng's random breath: as long, as loud at every time."""
    loud = []
    for audio in (one, other):
        samples = np.frombuffer(audio, "<i2").astype(float)
        frames = samples[: samples.size // 480 * 480].reshape(-1, 480)
        loud.append(np.sqrt((frames**2).mean(axis=1)))
    if abs(len(one) - len(other)) > 400:
        return False
    size = min(map(len, loud))
    return np.corrcoef(loud[0][:size], loud[1][:size])[0, 1] > 0.85


@pytest.mark.parametrize(
    ("format", "media_type"),
    [
        ("mp3", "audio/mpeg"),
        ("opus", "audio/ogg"),
        ("aac", "audio/aac"),
        ("flac", "audio/flac"),
        ("wav", "audio/wav"),
        ("pcm", "audio/pcm"),
    ],
)
def test_every_format_plays_for_as_long_as_it_was_spoken(client, format, media_type):
    answer = speak(client, response_format=format)
    assert answer.response.headers["content-type"] == media_type
    assert answer.response.headers["x-tts-engine"] == "espeak"
    whole = len(speak(client, response_format="pcm").content) / 2 / 24_000
    assert duration(answer.content, format) == pytest.approx(whole, abs=0.1)


def test_speech_is_mp3_unless_something_else_is_asked_for(client):
    assert speak(client).response.headers["content-type"] == "audio/mpeg"


def test_speech_can_be_read_while_it_is_made(client):
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="nova", input=SENTENCE, response_format="wav"
    ) as answer:
        audio = b"".join(answer.iter_bytes())
    assert audio[:4] == b"RIFF"
    assert duration(audio, "wav") > 2


def test_speech_as_events_is_the_same_speech(client):
    answer = speak(client, response_format="pcm", extra_body={"stream_format": "sse"})
    frames = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    *deltas, done = frames
    assert {delta["type"] for delta in deltas} == {"speech.audio.delta"}
    assert done["type"] == "speech.audio.done"
    assert set(done["usage"]) == {"input_tokens", "output_tokens", "total_tokens"}
    audio = b"".join(base64.b64decode(delta["audio"]) for delta in deltas)
    assert alike(audio, speak(client, response_format="pcm").content)
    assert max(map(len, answer.text.splitlines())) < 65_536


def test_openais_voices_sound_different_where_the_engine_has_several(client):
    alloy, ash, ballad = (
        speak(client, voice=voice, response_format="pcm").content for voice in ("alloy", "ash", "ballad")
    )
    assert not alike(alloy, ash)
    assert not alike(ash, ballad)


@pytest.mark.parametrize(
    "voice",
    ["alloy", "ash", "ballad", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer", "verse", "marin", "cedar",
     "espeak:en-us", {"id": "nova"}],
)  # fmt: skip
def test_every_voice_speaks(client, voice):
    assert duration(speak(client, "Yes.", voice=voice).content, "mp3") > 0.2


def test_speed_makes_it_shorter(client):
    slow = len(speak(client, speed=0.5, response_format="pcm").content)
    fast = len(speak(client, speed=2.0, response_format="pcm").content)
    assert slow > 2.5 * fast


def test_instructions_are_ignored(client):
    spoken = speak(client, model="gpt-4o-mini-tts", instructions="Whisper.", response_format="pcm").content
    assert alike(spoken, speak(client, response_format="pcm").content)


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": "🎉🎉"}, "input"),
        ({"input": "a" * 4097}, "input"),
        ({"voice": "nobody"}, "voice"),
        ({"voice": {"name": "nova"}}, "voice"),
        ({"response_format": "ogg"}, "response_format"),
        ({"speed": 0}, "speed"),
        ({"speed": 4.5}, "speed"),
        ({"extra_body": {"stream_format": "websocket"}}, "stream_format"),
        ({"extra_body": {"language": "xx"}}, "language"),
    ],
)
def test_a_wrong_wish_is_a_bad_request_that_names_it(client, asked, param):
    with pytest.raises(openai.BadRequestError) as refusal:
        speak(client, **asked)
    assert refusal.value.param == param


def test_an_unknown_voice_is_answered_with_those_of_openai_and_our_own(client):
    with pytest.raises(openai.BadRequestError, match=r"espeak:en.*alloy, ash.*cedar"):
        speak(client, voice="nobody")


def test_the_longest_text_is_spoken(client):
    text = ("All work and no play makes Jack a dull boy. " * 100)[:4096]
    assert duration(speak(client, text, speed=4).content, "mp3") > 45


def test_an_unknown_speech_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError, match="tts-1"):
        speak(client, model="tts-9")


def test_a_body_that_is_no_json_says_what_is_accepted(openai_server):
    answer = openai_server.post("/v1/audio/speech", b"hello", **{"Content-Type": "application/json"})
    assert answer.status == 400
    assert '"input"' in answer.error["message"]


def test_models_are_listed_and_found(client):
    models = {model.id: model for model in client.models.list()}
    assert {"tiny.en", "whisper-1", "tts-1", "gpt-4o-mini-tts", "espeak"} <= set(models)
    assert client.models.retrieve("whisper-1") == models["whisper-1"]
    assert isinstance(models["tts-1"].created, int)
    with pytest.raises(openai.NotFoundError) as refusal:
        client.models.retrieve("somebody/else")
    assert refusal.value.code == "model_not_found"


def test_listings_need_no_key(openai_server):
    voices = openai_server.get("/v1/audio/voices").json["voices"]
    assert {"id": "alloy", "name": "Alloy"} in voices
    assert any(voice["id"] == "espeak:en-us" for voice in voices)
    assert {"id": "tts-1"} in openai_server.get("/v1/audio/models").json["models"]
    assert openai_server.get("/v1/models").json["object"] == "list"


def test_what_is_not_there_is_not_found(openai_server):
    for path in ("/v1/readyz", "/v1/chat/completions"):
        answer = openai_server.get(path)
        assert answer.status == 404
        assert answer.error["code"] == "not_found"

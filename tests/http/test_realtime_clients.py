"""Live transcription, asked by clients written for OpenAI's: the real server, the real model, real recordings."""

import base64

import av
import numpy as np
import pytest
from openai import AuthenticationError, OpenAI

from ..likeness import understood
from ..recordings import AUSTEN, AUSTEN_SHORT, CLIPS, NEURAL
from ..server import Server

KEY = "a-key-for-live-sessions-0123456789"
TURNS = {"type": "server_vad", "silence_duration_ms": 500}


@pytest.fixture(scope="module")
def server():
    with Server(
        TTS_ENGINE="espeak", API_KEYS=KEY, ENGINE_IDLE_SECONDS="30", REALTIME_IDLE_SECONDS="60"
    ) as server:
        yield server


@pytest.fixture
def client(server):
    with OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client


def samples(*clips, rate=24_000, pause=1.2):
    """What is said in *clips*, each with a pause after it, as 16-bit samples."""
    found = []
    for clip in clips:
        with av.open(clip.path) as source:
            resampler = av.AudioResampler("s16", "mono", rate)
            frames = [one for frame in [*source.decode(audio=0), None] for one in resampler.resample(frame)]
        found += [frame.to_ndarray()[0] for frame in frames]
        found.append(np.zeros(round(rate * pause), np.int16))
    return np.concatenate(found)


def as_law(clip, codec):
    """*clip* as a telephone sends it, 8 kHz and a byte a sample; *codec* is "pcm_mulaw" or "pcm_alaw"."""
    encoder = av.CodecContext.create(codec, "w")
    encoder.sample_rate, encoder.layout, encoder.format = 8000, "mono", "s16"
    frame = av.AudioFrame.from_ndarray(samples(clip, rate=8000)[np.newaxis], "s16", "mono")
    frame.sample_rate = 8000
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def session(turn_detection, **fields):
    transcription = {"model": "gpt-4o-transcribe", "language": "en"}
    return {
        "type": "transcription",
        "audio": {"input": {"transcription": transcription, "turn_detection": turn_detection, **fields}},
    }


def append(connection, sound, piece=9600):
    """*sound* (bytes), 0.2 s of 24 kHz at a time."""
    for start in range(0, len(sound), piece):
        connection.input_audio_buffer.append(audio=base64.b64encode(sound[start : start + piece]).decode())


def until(connection, kind):
    """The events up to the first of *kind*, which is the last of them; an error that is not awaited fails."""
    events = []
    while not events or not events[-1].type.endswith(kind):
        events.append(connection.recv())
        assert kind == "error" or events[-1].type != "error", events[-1]
    return events


def texts(events):
    """The transcripts of *events*, after a look at whether each one's deltas, joined, are it."""
    finished = [event for event in events if event.type.endswith(".completed")]
    for event in finished:
        deltas = [e.delta for e in events if e.type.endswith(".delta") and e.item_id == event.item_id]
        assert "".join(deltas) == event.transcript
    return [event.transcript for event in finished]


def test_a_turn_that_the_service_finds_the_end_of(client):
    with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        connection.session.update(session=session(TURNS))
        append(connection, samples(AUSTEN_SHORT).tobytes())
        events = until(connection, ".completed")
    kinds = [event.type for event in events if not event.type.endswith(".delta")]
    assert kinds[:2] == ["session.created", "session.updated"]
    assert [kind for kind in kinds if "item" not in kind][2:] == [
        "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped", "input_audio_buffer.committed",
    ]  # fmt: skip
    updated, completed = events[1].session, events[-1]
    assert updated.audio.input.turn_detection.type == "server_vad"
    assert updated.audio.input.turn_detection.silence_duration_ms == 500
    assert (completed.usage.type, completed.content_index) == ("duration", 0)
    assert 0 < completed.usage.seconds < 6
    assert understood(*texts(events), AUSTEN_SHORT.text)


def test_turns_follow_each_other(client):
    with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        connection.session.update(session=session(TURNS))
        append(connection, samples(AUSTEN_SHORT, NEURAL).tobytes())
        events = until(connection, ".completed") + until(connection, ".completed")
    for heard, clip in zip(texts(events), (AUSTEN_SHORT, NEURAL), strict=True):
        assert understood(heard, clip.text)
    first, second = (event for event in events if event.type == "input_audio_buffer.committed")
    assert (first.previous_item_id, second.previous_item_id) == (None, first.item_id)
    started = [event.audio_start_ms for event in events if event.type.endswith("speech_started")]
    stopped = [event.audio_end_ms for event in events if event.type.endswith("speech_stopped")]
    assert sorted(started + stopped) == [started[0], stopped[0], started[1], stopped[1]]


@pytest.mark.parametrize(
    "clip",
    [pytest.param(clip, marks=[pytest.mark.long] * (clip is not CLIPS[0]), id=clip.name) for clip in CLIPS],
)
def test_a_turn_that_the_client_ends(client, clip):
    with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        connection.session.update(session=session(None))
        append(connection, samples(clip, pause=0.2).tobytes())
        connection.input_audio_buffer.commit()
        events = until(connection, ".completed")
        connection.input_audio_buffer.commit(event_id="nothing-since")
        (error,) = until(connection, "error")
        connection.input_audio_buffer.clear()
        assert connection.recv().type == "input_audio_buffer.cleared"
    assert understood(*texts(events), clip.text)
    assert (error.error.code, error.error.event_id) == ("input_audio_buffer_commit_empty", "nothing-since")
    assert "input_audio_buffer.speech_started" not in {event.type for event in events}


def test_what_is_cleared_is_not_heard(client):
    with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        connection.session.update(session=session(None))
        append(connection, samples(AUSTEN).tobytes())
        connection.input_audio_buffer.clear()
        append(connection, samples(NEURAL).tobytes())
        connection.input_audio_buffer.commit()
        events = until(connection, ".completed")
    assert understood(*texts(events), NEURAL.text)


def test_words_come_while_the_turn_goes_on(client):
    """Whoever makes no pause has words after 25 s at the latest, however slow the machine is."""
    said = (*CLIPS, AUSTEN)  # 34 s
    with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        connection.session.update(session=session({**TURNS, "silence_duration_ms": 1500}))
        append(connection, samples(*said, pause=0.2).tobytes())
        events = until(connection, ".delta")
        assert "input_audio_buffer.speech_stopped" not in {event.type for event in events}
        append(connection, bytes(2 * 2 * 24_000))  # the pause
        events += until(connection, ".completed")
    assert understood(*texts(events), " ".join(clip.text for clip in said))


def test_the_old_names_and_a_telephone_work(server):
    told = {
        "input_audio_format": "g711_ulaw",
        "input_audio_transcription": {"model": "whisper-1", "language": "en"},
        "turn_detection": {**TURNS, "threshold": 0.5, "prefix_padding_ms": 300},
    }
    headers = {"OpenAI-Beta": "realtime=v1"}
    query = {"intent": "transcription"}
    url = f"ws{server.url.removeprefix('http')}/v1"  # without it this client asks for wss:
    with (
        OpenAI(websocket_base_url=url, api_key=KEY) as client,
        client.beta.realtime.connect(
            model="whisper-1", extra_query=query, extra_headers=headers
        ) as connection,
    ):
        connection.transcription_session.update(session=told)
        append(connection, as_law(AUSTEN_SHORT, "pcm_mulaw"), piece=1600)
        events = until(connection, ".completed")
    assert [event.type for event in events[:2]] == [
        "transcription_session.created", "transcription_session.updated",
    ]  # fmt: skip
    assert understood(*texts(events), AUSTEN_SHORT.text)


def test_a_telephone_of_the_other_law(client):
    with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        connection.session.update(session=session(TURNS, format={"type": "audio/pcma"}))
        append(connection, as_law(NEURAL, "pcm_alaw"), piece=1600)
        events = until(connection, ".completed")
    assert understood(*texts(events), NEURAL.text)


def test_a_secret_made_for_a_browser_opens_a_session_as_it_was_described(client, server):
    made = client.realtime.client_secrets.create(session=session(None))
    assert made.value.startswith("ek_")
    assert made.session.audio.input.turn_detection is None
    with (
        OpenAI(base_url=f"{server.url}/v1", api_key=made.value, max_retries=0) as bearer,
        bearer.realtime.connect() as connection,
    ):
        append(connection, samples(AUSTEN_SHORT, pause=0.2).tobytes())
        connection.input_audio_buffer.commit()
        events = until(connection, ".completed")
        with pytest.raises(AuthenticationError):
            bearer.audio.speech.create(model="tts-1", voice="alloy", input="Hello.")  # it is for nothing else
    assert understood(*texts(events), AUSTEN_SHORT.text)

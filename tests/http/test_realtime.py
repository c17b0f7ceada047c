"""Live transcription over the real server: OpenAI's Realtime protocol in both shapes, and our own."""

import base64
import json
import os
import random
import signal
import struct
import threading
from collections.abc import Callable
from typing import Any

import pytest

from ..likeness import understood
from ..recordings import AUSTEN, AUSTEN_SHORT, ESPEAK, NEURAL, raw
from ..server import Server
from ..websocket import CLOSE, Client, Refused, frame

OPENAI = "/v1/realtime?intent=transcription"
PLAIN = "/api/v1/pam/voice/live"
TEXT = "conversation.item.input_audio_transcription."
PAUSE = bytes(48_000)  # a second of PCM at 24 kHz
KEY, OTHER = "key-of-the-tests-0001", "key-of-the-tests-0002"
IGNORED = {"item_id", "previous_item_id"}


@pytest.fixture(scope="module")
def server():
    with Server(TTS_ENGINE="espeak", ENGINE_IDLE_SECONDS="60") as server:
        yield server


def update(client: Client, **of_input: Any) -> dict[str, Any]:
    """Have *of_input* taken on; the session as it is then."""
    client.send(
        {"type": "session.update", "session": {"type": "transcription", "audio": {"input": of_input}}}
    )
    return client.until("session.updated")[-1]["session"]


def manual(client: Client, **of_input: Any) -> None:
    update(client, turn_detection=None, **of_input)


def commit(client: Client, **more: Any) -> None:
    client.send({"type": "input_audio_buffer.commit", **more})


def bye(client: Client) -> None:
    client.socket.sendall(frame(struct.pack("!H", 1000), CLOSE))


def texts(events: list[dict[str, Any]]) -> list[str]:
    return [event["transcript"] for event in events if event["type"] == f"{TEXT}completed"]


def every_item_is_whole(events: list[dict[str, Any]]) -> None:
    """Each committed item has one `completed` or `failed`, its deltas are its text, and it names the one before."""
    before = None
    for event in events:
        if event["type"] != "input_audio_buffer.committed":
            continue
        assert event["previous_item_id"] == before
        before = event["item_id"]
        of_item = [one for one in events if one.get("item_id") == before]
        ends = [one for one in of_item if one["type"] in (f"{TEXT}completed", f"{TEXT}failed")]
        assert len(ends) == 1
        deltas = [one["delta"] for one in of_item if one["type"] == f"{TEXT}delta"]
        if deltas and "transcript" in ends[0]:
            assert "".join(deltas) == ends[0]["transcript"]
        if "transcript" in ends[0]:
            assert ends[0]["content_index"] == 0
            assert ends[0]["usage"]["type"] == "duration"
            assert ends[0]["usage"]["seconds"] > 0


def test_turns_are_found_and_told_in_openais_order(server):
    with Client(server.port, OPENAI) as client:
        assert update(client)["audio"]["input"]["turn_detection"]["type"] == "server_vad"
        client.talk(raw(AUSTEN_SHORT) + PAUSE + raw(NEURAL) + PAUSE)
        events = client.until(f"{TEXT}completed") + client.until(f"{TEXT}completed")
        first, second = texts(events)
        assert understood(first, AUSTEN_SHORT.text)
        assert understood(second, NEURAL.text)
        every_item_is_whole(events)
        kinds = [event["type"] for event in events if event["type"] != f"{TEXT}delta"]
        turn = [
            "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped", "input_audio_buffer.committed",
            "conversation.item.added", "conversation.item.done", f"{TEXT}completed",
        ]  # fmt: skip
        assert kinds == turn * 2
        items = [event["item_id"] for event in events if "item_id" in event]
        assert len(set(items)) == 2
        assert len({event["event_id"] for event in events}) == len(events)
        started = [event["audio_start_ms"] for event in events if "audio_start_ms" in event]
        stopped = [event["audio_end_ms"] for event in events if "audio_end_ms" in event]
        assert 0 <= started[0] < stopped[0] <= started[1] < stopped[1] <= 1000 * (3.3 + 1 + 4.5 + 1)


def test_turns_are_ended_by_the_client(server):
    with Client(server.port, OPENAI) as client:
        manual(client)
        for clip in (AUSTEN_SHORT, ESPEAK):
            client.talk(raw(clip))
            commit(client)
            events = client.until(f"{TEXT}completed")
            assert understood(texts(events)[0], clip.text)
            kinds = [event["type"] for event in events]
            assert not [kind for kind in kinds if "speech" in kind]
            assert kinds.index("input_audio_buffer.committed") < kinds.index("conversation.item.added")
        bye(client)
        assert list(client.messages()) == []
        assert client.close_code == 1000


@pytest.mark.parametrize(("kind", "codec"), [("audio/pcmu", "pcm_mulaw"), ("audio/pcma", "pcm_alaw")])
def test_telephones_formats_are_heard(server, kind, codec):
    with Client(server.port, OPENAI) as client:
        manual(client, format={"type": kind}, transcription={"model": "gpt-4o-transcribe", "language": "en"})
        client.append(raw(AUSTEN, 8000, codec))
        commit(client)
        assert understood(texts(client.until(f"{TEXT}completed"))[0], AUSTEN.text)


def test_a_clear_drops_what_was_said(server):
    with Client(server.port, OPENAI) as client:
        manual(client)
        client.append(raw(AUSTEN))
        client.send({"type": "input_audio_buffer.clear"})
        client.until("input_audio_buffer.cleared")
        client.append(raw(ESPEAK))
        commit(client)
        assert understood(texts(client.until(f"{TEXT}completed"))[0], ESPEAK.text)


def test_the_betas_shapes(server):
    with Client(server.port, OPENAI, {"OpenAI-Beta": "realtime=v1"}) as client:
        created = next(client.messages())
        assert created["type"] == "transcription_session.created"
        assert created["session"]["input_audio_format"] == "pcm16"
        session = {
            "input_audio_format": "g711_ulaw",
            "input_audio_transcription": {"model": "whisper-1", "language": "en"},
            "turn_detection": None,
            "input_audio_noise_reduction": {"type": "near_field"},
        }
        client.send({"type": "transcription_session.update", "session": session})
        updated = client.until("transcription_session.updated")[-1]["session"]
        assert {name: updated[name] for name in session} == session
        client.append(raw(AUSTEN_SHORT, 8000, "pcm_mulaw"))
        commit(client)
        events = client.until(f"{TEXT}completed")
        assert understood(texts(events)[0], AUSTEN_SHORT.text)
        kinds = [event["type"] for event in events]
        assert "conversation.item.created" in kinds
        assert "conversation.item.added" not in kinds


@pytest.mark.parametrize("model", ["gpt-realtime-whisper", "gpt-live-transcribe"])
def test_two_models_leave_the_turns_to_the_client(server, model):
    with Client(server.port, OPENAI) as client:
        assert update(client, transcription={"model": model})["audio"]["input"]["turn_detection"] is None
        asked = {"type": "semantic_vad", "eagerness": "low"}
        assert update(client, turn_detection=asked)["audio"]["input"]["turn_detection"] == asked
        kept = update(client, transcription={"language": "en"})["audio"]["input"]
        assert kept["turn_detection"] == asked
        assert kept["transcription"] == {"model": model, "language": "en"}
    with Client(server.port, f"/v1/realtime?model={model}") as client:
        assert next(client.messages())["session"]["audio"]["input"]["turn_detection"] is None


def test_a_client_for_conversations_begins_a_transcription(server):
    with Client(server.port, "/v1/realtime?model=gpt-realtime") as client:
        assert next(client.messages())["session"]["type"] == "transcription"
        for event in (
            {"type": "session.update", "session": {"type": "realtime", "output_modalities": ["text"]}},
            {"type": "response.create"},
            {"type": "conversation.item.create", "item": {}},
        ):
            client.send({**event, "event_id": "mine"})
            (error,) = client.until("error")
            assert error["error"]["code"] == "no_conversation"
            assert error["error"]["event_id"] == "mine"
        client.append(raw(AUSTEN_SHORT) + PAUSE)
        assert understood(texts(client.until(f"{TEXT}completed"))[0], AUSTEN_SHORT.text)


def test_an_empty_commit_is_one_error_and_the_clear_after_it_is_answered(server):
    with Client(server.port, OPENAI) as client:
        manual(client)
        client.append(bytes(2400))  # 50 ms
        commit(client, event_id="mine")
        client.send({"type": "input_audio_buffer.clear"})
        error, cleared = client.until("input_audio_buffer.cleared")
        assert error["error"]["code"] == "input_audio_buffer_commit_empty"
        assert error["error"]["event_id"] == "mine"
        assert cleared["type"] == "input_audio_buffer.cleared"


@pytest.mark.parametrize(
    ("kind", "size"), [({"type": "audio/pcm", "rate": 24_000}, 4800), ({"type": "audio/pcmu"}, 800),
                       ({"type": "audio/pcm", "rate": 48_000}, 9600), ({"type": "audio/pcm", "rate": 16_000}, 3200)]
)  # fmt: skip
def test_a_tenth_of_a_second_is_a_turn(server, kind, size):
    with Client(server.port, OPENAI) as client:
        manual(client, format=kind)
        client.append(bytes(size))
        commit(client)
        events = client.until(f"{TEXT}completed")
        assert "error" not in [event["type"] for event in events]


def test_a_committed_silence_has_an_empty_text(server):
    with Client(server.port, OPENAI) as client:
        manual(client)
        client.append(PAUSE)
        commit(client)
        events = client.until(f"{TEXT}completed")
        assert texts(events) == [""]
        every_item_is_whole(events)


def within(**of_input: Any) -> dict[str, Any]:
    return {"type": "session.update", "session": {"audio": {"input": of_input}}}


WRONG = [
    ("not json", None, "JSON"),
    ("[1, 2]", None, "JSON"),
    ("", None, "JSON"),
    ({"type": "nothing.known"}, "type", "session.update"),
    ({"no": "type"}, "type", "session.update"),
    ({"type": ["session.update"]}, "type", "session.update"),
    ({"type": "input_audio_buffer.append"}, "audio", "base64"),
    ({"type": "input_audio_buffer.append", "audio": "%%%"}, "audio", "base64"),
    ({"type": "input_audio_buffer.append", "audio": 7}, "audio", "base64"),
    ({"type": "session.update", "session": 7}, "session", "object"),
    (within(format={"type": "audio/mp3"}), "session.audio.input.format.type", "audio/pcmu"),
    (within(format={"type": "audio/pcm", "rate": 5}), "session.audio.input.format.rate", "8000"),
    (within(format=["audio/pcm"]), "session.audio.input.format", "object"),
    (within(turn_detection={"type": "ears"}), "session.audio.input.turn_detection.type", "semantic_vad"),
    (within(turn_detection={"threshold": 1.5}), "session.audio.input.turn_detection.threshold", "0 to 1"),
    (within(turn_detection={"silence_duration_ms": "x"}), "session.audio.input.turn_detection.silence_duration_ms", ""),
    (within(turn_detection={"eagerness": 3}), "session.audio.input.turn_detection.eagerness", "medium"),
    (within(turn_detection="off"), "session.audio.input.turn_detection", "object"),
    (within(transcription={"model": "nobody"}), "session.audio.input.transcription.model", "whisper-1"),
    (within(transcription={"language": "klingon"}), "session.audio.input.transcription.language", "klingon"),
    (within(transcription={"languages": ["xx"]}), "session.audio.input.transcription.languages", ""),
    (within(transcription={"keywords": [1]}), "session.audio.input.transcription.keywords", "texts"),
    (within(transcription={"model": "tiny.en", "language": "de"}), "session.audio.input.transcription.language", "de"),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "param", "said"), WRONG)
def test_what_is_wrong_is_one_error_that_says_what_is_accepted(server, sent, param, said):
    with Client(server.port, OPENAI) as client:
        before = update(client)
        client.send(sent)
        (event,) = client.until("error")
        assert event["error"]["param"] == param
        assert said in event["error"]["message"]
        assert event["error"]["type"] == "invalid_request_error"
        assert update(client) == before


def test_binary_is_an_error_there(server):
    with Client(server.port, OPENAI) as client:
        client.until("session.created")
        client.send(bytes(1000))
        (event,) = client.until("error")
        assert "base64" in event["error"]["message"]


def test_unknown_fields_and_null_are_no_errors(server):
    with Client(server.port, OPENAI) as client:
        session = update(
            client,
            transcription={
                "model": "whisper-1",
                "delay": "low",
                "prompt": None,
                "language": None,
                "later": 1,
            },
            turn_detection={
                "type": "server_vad",
                "create_response": True,
                "idle_timeout_ms": None,
                "threshold": None,
            },
            noise_reduction={"type": "far_field"},
            later={},
        )
        assert session["audio"]["input"]["turn_detection"]["threshold"] == 0.5
        assert session["audio"]["input"]["noise_reduction"] == {"type": "far_field"}


SEPARATORS = {"as Python writes it": None, "as JavaScript does": (",", ":")}


@pytest.mark.parametrize(
    "separators", [pytest.param("as Python writes it", marks=pytest.mark.long), "as JavaScript does"]
)
@pytest.mark.parametrize(
    "order",
    [("type", "audio", "event_id"), pytest.param(("audio", "event_id", "type"), marks=pytest.mark.long)],
)
def test_minutes_of_audio_may_come_in_one_message(server, order, separators):
    """A second of it is in memory at a time; see docs/decisions/0074."""
    audio = base64.b64encode(raw(AUSTEN_SHORT) + PAUSE * 60 + raw(ESPEAK) + PAUSE).decode()
    event = {"type": "input_audio_buffer.append", "audio": audio, "event_id": "mine"}
    with Client(server.port, OPENAI) as client:
        client.send(json.dumps({name: event[name] for name in order}, separators=SEPARATORS[separators]))
        events = client.until(f"{TEXT}completed") + client.until(f"{TEXT}completed")
        first, second = texts(events)
        assert understood(first, AUSTEN_SHORT.text)
        assert understood(second, ESPEAK.text)
        every_item_is_whole(events)


ESCAPES: dict[str, Callable[[str], str]] = {
    "slashes": lambda text: text.replace("/", "\\/"),
    "code points": lambda text: text.replace("+", "\\u002b").replace("/", "\\u002F"),
}


@pytest.mark.parametrize("escapes", ["slashes", pytest.param("code points", marks=pytest.mark.long)])
def test_base64_may_be_escaped_as_json_allows(server, escapes):
    audio = ESCAPES[escapes](base64.b64encode(raw(AUSTEN)).decode())
    with Client(server.port, OPENAI) as client:
        manual(client)
        client.send(f'{{"type":"input_audio_buffer.append","audio":"{audio}"}}')
        commit(client)
        assert understood(texts(client.until(f"{TEXT}completed"))[0], AUSTEN.text)


LONG = "A" * 400_000
LONG_AND_WRONG = [
    f'{{"type": "input_audio_buffer.append", "audio": "{LONG}%{LONG}", "event_id": "mine"}}',
    f'{{"type": "input_audio_buffer.append", "audio": "{LONG}A==A{LONG}", "event_id": "mine"}}',
    f'{{"type": "input_audio_buffer.append", "audio": "{LONG}\\q{LONG}", "event_id": "mine"}}',
]


@pytest.mark.parametrize("sent", LONG_AND_WRONG)
def test_what_is_no_base64_in_a_long_message_is_an_error_with_its_id(server, sent):
    with Client(server.port, OPENAI) as client:
        manual(client)
        client.send(sent)
        (event,) = client.until("error")
        assert (event["error"]["param"], event["error"]["event_id"]) == ("audio", "mine")
        client.send({"type": "input_audio_buffer.clear"})
        client.until("input_audio_buffer.cleared")


@pytest.mark.parametrize(
    "sent",
    [
        json.dumps({"type": "session.update", "session": {"prompt": LONG}}),
        json.dumps({"type": "conversation.item.create", "item": {"content": [{"audio": LONG}]}}),
        json.dumps({"type": "conversation.item.create", "audio": LONG}),
        f'{{"type": "input_audio_buffer.append", "audio": "{LONG}", "rest": "{LONG}"}}',
        f'{{"type": "input_audio_buffer.append", "audio": "{LONG}"',
        LONG,
    ],
)
def test_a_long_message_that_is_no_audio_is_one_error(server, sent):
    with Client(server.port, OPENAI) as client:
        manual(client)
        client.send(sent)
        assert [event["type"] for event in client.until("error")] == ["error"]
        update(client)


def engine_pid(server: Server) -> int:
    """Of the engine that hears English."""
    engines = server.get("/api/memory").json["budget"]["engines"]
    return next(engine["pid"] for engine in engines if engine["model"] == "tiny.en")


@pytest.mark.parametrize("turns", ["by silence", "by the client"])
def test_when_the_engine_is_killed_the_turn_fails_and_the_session_goes_on(server, turns):
    with Client(server.port, OPENAI) as client:
        if turns == "by silence":
            update(client)
            client.append(raw(AUSTEN))
            events = client.until("input_audio_buffer.speech_started")
        else:
            manual(client)
            client.append(raw(AUSTEN))
            update(client)  # which is answered once the engine has heard what came before
            events = []
        os.kill(engine_pid(server), signal.SIGKILL)
        client.append(raw(AUSTEN_SHORT))
        if turns == "by the client":
            commit(client)
        events += client.until(f"{TEXT}failed")
        assert events[-1]["error"]["code"] == "engine_died"
        every_item_is_whole([event for event in events if event["type"] != "error"])
        assert "error" not in [event["type"] for event in events]
        client.send({"type": "input_audio_buffer.clear"})
        client.until("input_audio_buffer.cleared")
        client.append(raw(ESPEAK) + PAUSE)
        if turns == "by the client":
            commit(client)
        assert understood(texts(client.until(f"{TEXT}completed"))[-1], ESPEAK.text)


def test_recordings_are_answered_meanwhile(server):
    with Client(server.port, OPENAI) as client:
        manual(client)
        client.append(raw(AUSTEN))
        answer = server.upload("/api/v1/pam/voice/transcribe", AUSTEN_SHORT.path.read_bytes())
        assert understood(answer.json["text"], AUSTEN_SHORT.text)
        commit(client)
        assert understood(texts(client.until(f"{TEXT}completed"))[0], AUSTEN.text)


@pytest.mark.parametrize(
    ("query", "rate", "codec"),
    [
        ("", 16_000, "pcm_s16le"),
        ("?rate=48000&language=en&turns=none", 48_000, "pcm_s16le"),
        ("?encoding=ulaw&model=whisper-1", 8_000, "pcm_mulaw"),
        ("?encoding=alaw&turns=semantic_vad&eagerness=high&interim=false", 8_000, "pcm_alaw"),
    ],
)
def test_the_plain_protocol(server, query, rate, codec):
    with Client(server.port, PLAIN + query) as client:
        audio = raw(AUSTEN, rate, codec)
        for begin in range(0, len(audio), 3001):  # an odd number: samples are cut in two
            client.send(audio[begin : begin + 3001])
        client.send('{"type": "end"}')
        lines = list(client.messages())
        assert client.close_code == 1000
        final = [line for line in lines if line["final"]]
        assert understood(" ".join(line["text"] for line in final), AUSTEN.text)
        assert all(0 <= line["start"] <= line["end"] <= AUSTEN.seconds + 1 for line in final)
        if "interim" in query:
            assert final == lines


def test_the_plain_protocols_settings_may_be_a_message(server):
    with Client(server.port, PLAIN) as client:
        client.send({"rate": 24_000, "turns": "none", "language": "en"})
        for clip in (AUSTEN_SHORT, ESPEAK):
            client.send(raw(clip))
            client.send("commit")
            line = next(line for line in client.messages() if line["final"])
            assert understood(line["text"], clip.text)
        client.send({"rate": 1})
        assert "8000" in next(client.messages())["error"]["message"]
        client.send("what?")
        assert next(client.messages())["error"]["code"] == "invalid_request"


@pytest.mark.parametrize(
    ("query", "status"),
    [("?rate=1", 400), ("?model=nobody", 404), ("?turns=maybe", 400), ("?model=tiny.en&language=de", 400)],
)
def test_what_is_wrong_in_the_plain_protocols_address_is_a_status(server, query, status):
    with pytest.raises(Refused) as refused:
        Client(server.port, PLAIN + query)
    assert refused.value.status == status


def test_the_turn_under_way_is_completed_when_the_service_stops():
    with Server(TTS_ENGINE="espeak") as server:
        with Client(server.port, OPENAI) as spoken, Client(server.port, OPENAI) as idle:
            manual(spoken)
            spoken.append(raw(AUSTEN_SHORT))
            # It was given to the engine once the next event is answered.
            update(spoken)
            server.process.terminate()
            events = list(spoken.messages())
            assert understood(texts(events)[0], AUSTEN_SHORT.text)
            assert [one["type"] for one in idle.messages()] == ["session.created"]
            assert (spoken.close_code, idle.close_code) == (1001, 1001)
        assert server.process.wait(30) == 0


def test_a_session_ends_when_nothing_is_sent():
    with (
        Server(TTS_ENGINE="espeak", REALTIME_IDLE_SECONDS="1") as server,
        Client(server.port, OPENAI) as client,
    ):
        created, error = list(client.messages())
        assert created["type"] == "session.created"
        assert error["error"]["code"] == "session_idle"
        assert "REALTIME_IDLE_SECONDS" in error["error"]["message"]
        assert client.close_code == 1000


def test_a_session_is_not_idle_whose_engine_took_long():
    with Server(TTS_ENGINE="espeak", REALTIME_IDLE_SECONDS="1") as server:
        server.upload("/api/v1/pam/voice/transcribe", AUSTEN_SHORT.path.read_bytes())
        pid = engine_pid(server)
        os.kill(pid, signal.SIGSTOP)
        resumed = threading.Timer(2, os.kill, (pid, signal.SIGCONT))
        resumed.start()
        audio = base64.b64encode(raw(AUSTEN)).decode()
        sent = (
            {
                "type": "session.update",
                "session": {"type": "transcription", "audio": {"input": {"turn_detection": None}}},
            },
            {"type": "input_audio_buffer.append", "audio": audio},
            {"type": "input_audio_buffer.commit"},
        )
        # All of it with the request: nobody waits for a client here.
        behind = b"".join(frame(json.dumps(event).encode()) for event in sent)
        with Client(server.port, OPENAI, behind=behind) as client:
            assert understood(texts(client.until(f"{TEXT}completed"))[0], AUSTEN.text)
        resumed.join()


def test_a_session_that_lasts_too_long_completes_its_turn_and_says_why_it_ends():
    with Server(TTS_ENGINE="espeak", REALTIME_MINUTES="0.1") as server:
        # The engine is awake: its start is no part of the 6 s in which all has to be heard.
        server.upload("/api/v1/pam/voice/transcribe", AUSTEN_SHORT.path.read_bytes())
        with Client(server.port, OPENAI) as client:
            manual(client)
            client.append(raw(AUSTEN_SHORT))
            events = list(client.messages())
        assert understood(texts(events)[0], AUSTEN_SHORT.text)
        every_item_is_whole(events)
        assert events[-1]["error"]["code"] == "session_expired"
        assert client.close_code == 1000


def test_an_upgrade_is_a_request_to_the_rate_limit():
    with Server(TTS_ENGINE="espeak", RATE_LIMIT="2/hour") as server:
        for _ in range(2):
            with Client(server.port, OPENAI) as client:
                client.until("session.created")
        with pytest.raises(Refused) as refused:
            Client(server.port, OPENAI)
        assert (refused.value.status, refused.value.error["code"]) == (429, "rate_limit_exceeded")


@pytest.fixture(scope="module")
def guarded():
    environment = {"API_KEYS": f"{KEY},{OTHER}", "AUDIO_SECONDS_PER_HOUR": "20", "RATE_LIMIT": "1000/minute"}
    with Server(TTS_ENGINE="espeak", CORS_ORIGINS="https://app.example", **environment) as server:
        yield server


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def in_subprotocol(key: str) -> dict[str, str]:
    return {
        "Sec-WebSocket-Protocol": f"realtime, openai-insecure-api-key.{key}",
        "Origin": "https://app.example",
    }


def test_a_key_is_needed_and_may_be_in_the_subprotocol(guarded):
    for route in (OPENAI, "/openai/v1/realtime", "/realtime", PLAIN):
        for wrong in ({}, bearer("wrong"), in_subprotocol("wrong"), in_subprotocol("ek_wrong.signature")):
            with pytest.raises(Refused) as refused:
                Client(guarded.port, route, wrong)
            assert refused.value.status == 401
        for right in (bearer(KEY), {"X-API-Key": KEY}, in_subprotocol(KEY)):
            with Client(guarded.port, route, right) as client:
                assert client.status == 101
    assert guarded.post("/v1/realtime/client_secrets", {}).status == 401


def test_a_subprotocol_is_answered_as_it_was_offered(guarded):
    """RFC 6455, 4.1: a client must give up on one that it did not offer."""
    for offered, answered in (("realtime", "realtime"), ("Realtime", None)):
        headers = {**bearer(KEY), "Sec-WebSocket-Protocol": offered}
        with Client(guarded.port, "/v1/realtime", headers) as client:
            assert client.headers.get("sec-websocket-protocol") == answered


def test_a_browsers_key_is_for_a_session_and_for_nothing_else(guarded):
    session = {
        "type": "transcription",
        "audio": {"input": {"transcription": {"language": "de"}, "turn_detection": None}},
    }
    asked = {"session": session, "expires_after": {"anchor": "created_at", "seconds": 60}}
    made = guarded.post("/v1/realtime/client_secrets", asked, **bearer(KEY)).json
    assert made["value"].startswith("ek_")
    assert made["session"]["audio"]["input"]["transcription"] == {"language": "de"}
    with Client(guarded.port, "/v1/realtime", in_subprotocol(made["value"])) as client:
        begun = next(client.messages())["session"]["audio"]["input"]
        assert (begun["transcription"], begun["turn_detection"]) == ({"language": "de"}, None)
    for path in ("/api/memory", "/api/v1/pam/voice/jobs"):
        assert guarded.get(path, **bearer(made["value"])).status == 401
    changed = made["value"][:-2] + ("AA" if not made["value"].endswith("AA") else "BB")
    with pytest.raises(Refused):
        Client(guarded.port, "/v1/realtime", bearer(changed))


def test_the_betas_key_begins_a_session_in_its_shape(guarded):
    made = guarded.post(
        "/v1/realtime/transcription_sessions", {"input_audio_format": "g711_alaw"}, **bearer(KEY)
    ).json
    with Client(guarded.port, "/v1/realtime", in_subprotocol(made["client_secret"]["value"])) as client:
        created = next(client.messages())
        assert created["type"] == "transcription_session.created"
        assert created["session"]["input_audio_format"] == "g711_alaw"


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"session": {"type": "realtime"}}, "session.type"),
        ({"session": 7}, "session"),
        ({"expires_after": {"seconds": 5}}, "expires_after.seconds"),
        (
            {
                "session": {
                    "audio": {"input": {"transcription": {"prompt": random.Random(1).randbytes(4000).hex()}}}
                }
            },
            "session",
        ),
        (
            {"session": {"audio": {"input": {"format": {"type": "audio/mp3"}}}}},
            "session.audio.input.format.type",
        ),
    ],
)
def test_a_session_that_can_not_be_is_refused_when_its_key_is_made(guarded, asked, param):
    answer = guarded.post("/v1/realtime/client_secrets", asked, **bearer(KEY))
    assert answer.status == 400
    assert answer.error["param"] == param


def test_the_allowance_counts_the_audio_of_a_key_and_of_the_keys_it_made(guarded):
    made = guarded.post("/v1/realtime/client_secrets", {}, **bearer(OTHER)).json["value"]
    with Client(guarded.port, "/v1/realtime", in_subprotocol(made)) as client:
        client.append(PAUSE * 30)
        error = client.until("error")[-1]["error"]
        assert error["code"] == "audio_limit_exceeded"
        list(client.messages())
        assert client.close_code == 1008
    with pytest.raises(Refused) as refused:
        Client(guarded.port, "/v1/realtime", bearer(OTHER))
    assert refused.value.status == 429
    assert refused.value.error["code"] == "audio_limit_exceeded"


def test_pages_of_other_origins_are_let_in_where_they_are_named(guarded):
    with pytest.raises(Refused) as refused:
        Client(guarded.port, "/v1/realtime", {**in_subprotocol(KEY), "Origin": "https://other.example"})
    assert refused.value.status == 403


@pytest.mark.parametrize(
    ("environment", "status"), [({"REALTIME_SESSIONS": "0"}, 403), ({"DISABLE_LOCAL_WHISPER": "true"}, 503)]
)
def test_where_there_are_no_sessions_the_upgrade_is_refused(environment, status):
    with Server(TTS_ENGINE="espeak", **environment) as server:
        for route in (OPENAI, PLAIN):
            with pytest.raises(Refused) as refused:
                Client(server.port, route)
            assert refused.value.status == status
            assert next(iter(environment)) in refused.value.error["message"]

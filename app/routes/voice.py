"""Our own API: audio in, text out; text in, audio out."""

import time
from contextlib import closing

from flask import Blueprint, Response, jsonify, request

from ..voice.transcription import TranscriptionRequest
from . import fields
from .context import client_waits, services
from .uploads import Upload, receive_recording

voice = Blueprint("voice", __name__, url_prefix="/api/v1/pam/voice")


@voice.post("/transcribe")
def transcribe() -> Response:
    """The text of a recording, with its segments."""
    given, upload = receive_recording()
    with closing(upload):
        began = time.perf_counter()
        transcription = services().speech.transcribe(_transcription_request(given, upload), client_waits())
        with closing(transcription):
            segments = [
                {
                    "start": round(segment.start, 2),
                    "end": round(segment.end, 2),
                    "text": segment.text.strip(),
                    **({"words": [word.as_dict() for word in segment.words]} if segment.words else {}),
                }
                for segment in transcription
            ]
        seconds = time.perf_counter() - began
    response = jsonify(
        text=" ".join(segment["text"] for segment in segments),
        language=transcription.language,
        duration=round(transcription.duration_seconds, 2),
        model=transcription.model,
        segments=segments,
    )
    response.headers["Server-Timing"] = f"transcribe;dur={seconds * 1000:.0f}"
    return response


def _transcription_request(given: fields.Fields, upload: Upload) -> TranscriptionRequest:
    beam_size = fields.number(given, "beam_size", least=1, most=10)
    return TranscriptionRequest(
        path=upload.path,
        task=fields.choice(given, "task", ("transcribe", "translate"), "transcribe"),
        language=fields.text(given, "language"),
        prompt=fields.text(given, "prompt"),
        hotwords=fields.text(given, "hotwords"),
        temperature=fields.number(given, "temperature", least=0, most=1),
        beam_size=int(beam_size) if beam_size else None,
        word_timestamps=fields.flag(given, "word_timestamps"),
        condition_on_previous_text=fields.flag(given, "condition_on_previous_text", True),
    )

"""The usual speech server, to compare with: Flask with faster-whisper's model in the web process."""

import os
from functools import lru_cache

from flask import Flask, jsonify, request

app = Flask(__name__)


@lru_cache(maxsize=1)
def model():
    """Loaded by the first request, kept from then on."""
    from faster_whisper import WhisperModel

    return WhisperModel(os.environ["STOCK_MODEL"], device="cpu", compute_type="int8")


@app.get("/health/live")
def health():
    """That it answers."""
    return "ok"


@app.post("/api/v1/pam/voice/transcribe")
def transcribe():
    """The text of a recording."""
    segments, _ = model().transcribe(request.files["audio"], beam_size=1)
    return jsonify(text=" ".join(segment.text.strip() for segment in segments))

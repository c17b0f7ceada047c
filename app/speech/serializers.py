"""A transcript as JSON: for our own API, for jobs, and on the command line."""

from collections.abc import Iterable
from dataclasses import asdict

from .transcription import Segment, Transcription


def join_text(segments: Iterable[Segment]) -> str:
    """The text of all *segments*."""
    return "".join(segment.text for segment in segments).strip()


def transcription_dict(done: Transcription, segments: Iterable[Segment]) -> dict[str, object]:
    """Text, language, duration in seconds and model of a transcription that has ended."""
    return {
        "text": join_text(segments),
        "language": done.language,
        "duration": round(done.duration_seconds, 2),
        "model": done.model,
    }


def segment_dict(found: Segment) -> dict[str, object]:
    """A segment; its words only where they were asked for."""
    words = {"words": [asdict(word) for word in found.words]} if found.words else {}
    return {"start": round(found.start, 2), "end": round(found.end, 2), "text": found.text.strip(), **words}

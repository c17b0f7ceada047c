"""A transcript as it is told: by our own API, by jobs, and on the command line."""

from collections.abc import Iterable
from dataclasses import asdict

from .transcription import Segment, Transcription


def whole_text(segments: Iterable[Segment]) -> str:
    """What all of *segments* say."""
    return "".join(segment.text for segment in segments).strip()


def told_facts(done: Transcription, segments: Iterable[Segment]) -> dict[str, object]:
    """Its text, language, duration in seconds, and model."""
    return {
        "text": whole_text(segments),
        "language": done.language,
        "duration": round(done.duration_seconds, 2),
        "model": done.model,
    }


def told_segment(found: Segment) -> dict[str, object]:
    """A segment; its words only where they were asked for."""
    words = {"words": [asdict(word) for word in found.words]} if found.words else {}
    return {"start": round(found.start, 2), "end": round(found.end, 2), "text": found.text.strip(), **words}

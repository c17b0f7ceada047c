"""Each row of the tables: what it names is there, and what it makes can be read."""

import json
from array import array
from pathlib import Path

import pytest
import srt
import webvtt

from app import create_app
from app.config import PROJECT, Settings
from app.engine_process.stt.decode import decode
from app.engine_process.tts.speech import encoder
from app.http.openai_audio import RESPONSE_FORMATS
from app.speech.formats import AUDIO, TRANSCRIPTS
from app.speech.transcription import Segment, Transcription

TEXTS = (" Two days ago,", " in the year 1984; “quoted”.", "  ", " <b>Bold</b> & more -->  ")
SEGMENTS = [
    Segment(number, 0, 3.0 * number, 3.0 * number + 2.5, text, [], 0.0, -0.3, 1.2, 0.0)
    for number, text in enumerate(TEXTS)
]
DONE = Transcription("tiny.en", language="en", duration_seconds=12.0)
SAID = "Two days ago, in the year 1984; “quoted”.   <b>Bold</b> & more -->"
READERS = {
    "json": lambda written: json.loads(written)["text"],
    "srt": lambda written: " ".join(cue.content for cue in srt.parse(written, ignore_errors=False)),
    "vtt": lambda written: " ".join(cue.text for cue in webvtt.from_string(written)),
}


def plain(text: str) -> list[str]:
    return "".join(letter if letter.isalnum() else " " for letter in text).split()


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_each_row_writes_a_transcript_that_has_every_word(name):
    written = "".join(TRANSCRIPTS[name].render(iter(SEGMENTS), DONE))
    assert written.endswith("\n")
    read = READERS.get(name, lambda written: written)(written)
    assert [word for word in plain(read) if word in plain(SAID)] == plain(SAID)


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_each_row_writes_one_of_silence(name):
    assert isinstance("".join(TRANSCRIPTS[name].render(iter([]), Transcription(""))), str)


def test_a_text_has_no_spaces_around_it_however_it_comes():
    pieces = list(TRANSCRIPTS["text"].render(iter(SEGMENTS), DONE))
    assert "".join(pieces) == SAID + "\n"
    assert len(pieces) > 2


@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000])
@pytest.mark.parametrize("name", AUDIO)
def test_each_row_makes_a_file_that_can_be_transcribed(name, rate, tmp_path):
    row = json.loads(json.dumps(AUDIO[name]._asdict()))  # as it comes by the pipe
    file, samples = encoder(row, rate), array("h", (9000 * (i // 50 % 2) for i in range(2 * rate)))
    path = tmp_path / "spoken"
    path.write_bytes(file.feed(samples.tobytes()) + file.finish())
    assert file.sample_rate in (row["rates"] or (rate,))
    assert file.samples / file.sample_rate == pytest.approx(2.0, abs=0.01)
    if row["container"] == "s16le":  # it has no header
        assert path.stat().st_size == 2 * file.samples
    else:
        assert seconds_of(path) == pytest.approx(2.0, abs=0.1)


def seconds_of(path: Path) -> float:
    return sum(len(piece) for piece in decode(str(path), 60.0)) / 16_000


def test_no_two_rows_have_one_suffix():
    suffixes = [suffix for row in AUDIO.values() for suffix in row.suffixes]
    assert len(suffixes) == len(set(suffixes))
    assert len({row.suffix for row in TRANSCRIPTS.values()}) == len(TRANSCRIPTS)


def test_everything_that_names_formats_goes_by_the_tables():
    app = create_app(Settings(monitoring=False))
    client = app.test_client()
    described, said = client.get("/openapi.json").json, client.get("/api/v1/pam/voice/voices").json
    app.extensions["services"].close()

    def accepted(path: str, kind: str, field: str) -> list[str]:
        body = described["paths"][path]["post"]["requestBody"]["content"][kind]["schema"]
        return body["properties"][field]["enum"]

    voice, form = "/api/v1/pam/voice", "multipart/form-data"
    assert accepted(f"{voice}/transcribe", form, "format") == [*TRANSCRIPTS]
    assert accepted("/v1/audio/transcriptions", form, "response_format") == [*RESPONSE_FORMATS]
    assert {*RESPONSE_FORMATS} - {"verbose_json"} == {name for name, row in TRANSCRIPTS.items() if row.openai}
    assert accepted(f"{voice}/speak", "application/json", "format") == [*AUDIO]
    assert accepted("/v1/audio/speech", "application/json", "response_format") == [*AUDIO]
    answers = described["paths"][f"{voice}/jobs/{{id}}/result"]["get"]["responses"]["200"]["content"]
    assert {row.media_type for row in (*TRANSCRIPTS.values(), *AUDIO.values())} <= answers.keys()
    assert said["formats"] == {name: row.media_type for name, row in AUDIO.items()}
    (first,) = _options((PROJECT / "app" / "static" / "page.html").read_text())
    assert first == next(iter(AUDIO))  # the page asks for the others


def _options(page: str) -> list[str]:
    listed = page.partition('<select id="format">')[2].partition("</select>")[0]
    return [one.partition("</option>")[0] for one in listed.split("<option>")[1:]]

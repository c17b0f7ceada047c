"""`speak`: texts to files of audio without a server."""

import io
from pathlib import Path

import av
import pytest
from click.testing import CliRunner

from app.cli import cli
from app.speech.voices import find_espeak

from .command import run

SENTENCE = "The meeting starts at ten in the morning."


def seconds_of(audio: bytes) -> float:
    """How long it plays."""
    with av.open(io.BytesIO(audio)) as container:
        return sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))


@pytest.mark.parametrize(
    ("suffix", "name"), [("wav", "wav"), ("mp3", "mp3"), ("ogg", "ogg"), ("flac", "flac"), ("aac", "aac")]
)
def test_the_suffix_chooses_the_format(suffix, name, tmp_path):
    out = tmp_path / f"a.{suffix}"
    done = run("speak", SENTENCE, "-o", str(out), "--engine", "espeak")
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    assert done.stderr.startswith(b"spoken by espeak:en")
    with av.open(out) as container:
        assert name in container.format.name
    assert 1.5 < seconds_of(out.read_bytes()) < 5
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.skipif(len(find_espeak({})) < 2, reason="the system has no espeak-ng of its own")
def test_the_systems_espeak_speaks_where_there_is_one(tmp_path):
    """The other tests have the package's, by LD_LIBRARY_PATH."""
    done = run("speak", SENTENCE, "-o", str(tmp_path / "a.wav"), "--engine", "espeak", LD_LIBRARY_PATH="")
    assert done.returncode == 0, done.stderr
    assert 1.5 < seconds_of((tmp_path / "a.wav").read_bytes()) < 5


def test_a_text_comes_in_by_a_pipe_and_audio_goes_out_by_one():
    done = run(
        "speak", "-", "-o", "-", "-f", "wav", "--engine", "espeak", "--speed", "2", given=SENTENCE.encode()
    )
    assert done.returncode == 0
    assert done.stdout.startswith(b"RIFF")
    # The header of a whole file says how long it is.
    assert int.from_bytes(done.stdout[4:8], "little") == len(done.stdout) - 8
    assert 0.8 < seconds_of(done.stdout) < 2.5


def test_who_spoke_and_why_nobody_better_did_is_said(tmp_path):
    done = run("speak", SENTENCE, "-o", str(tmp_path / "a.wav"))
    first, second = done.stderr.decode().splitlines()
    assert first.startswith("not by gtts: Google Translate's voice can't be had")
    assert second.startswith("spoken by neural:")


def test_a_text_longer_than_requests_may_have_is_spoken(tmp_path):
    done = run(
        "speak",
        "-",
        "-o",
        str(tmp_path / "a.mp3"),
        "--engine",
        "espeak",
        given=f"{SENTENCE}\n".encode() * 120,
    )
    assert done.returncode == 0, done.stderr
    assert seconds_of((tmp_path / "a.mp3").read_bytes()) > 200


@pytest.mark.parametrize(
    ("given", "status", "complaint"),
    [
        (["hello", "-o", "a.txt"], 2, "name it .mp3, .opus"),
        (["hello"], 2, "Missing option"),
        (["hello", "-o", "a.mp3", "--speed", "9"], 2, "0.25<=x<=4"),
        (["hello", "-o", "a.mp3", "--voice", "nobody"], 1, "there is no 'nobody'"),
        (["...", "-o", "a.mp3"], 1, "no word or number"),
        (["hello", "-o", "a.mp3", "--language", "tlh"], 1, "no synthesizer here speaks 'tlh'"),
    ],
)
def test_what_cant_be_spoken_is_refused_with_what_can(given, status, complaint):
    with CliRunner().isolated_filesystem() as directory:
        done = CliRunner().invoke(cli, ["speak", *given])
        assert done.exit_code == status
        assert complaint in done.output
        assert "Traceback" not in done.output
        assert list(Path(directory).iterdir()) == []

"""`transcribe`: recordings to text without a server."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import srt
import webvtt
from click.testing import CliRunner

from app.cli import cli
from app.cli.engines import speech
from app.config import PROJECT, Settings
from app.speech.transcription import TranscriptionRequest

from ..likeness import understood
from ..processes import children, has_ended, until
from ..recordings import AUSTEN, AUSTEN_SHORT, recorded_as
from .command import run


def test_text_goes_to_standard_output_and_nothing_else_does():
    done = run("transcribe", str(AUSTEN_SHORT.path))
    assert understood(done.stdout.decode(), AUSTEN_SHORT.text)
    assert done.stdout.endswith(b"\n")
    assert done.stdout.count(b"\n") == 1
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("threads", ["1", "8", pytest.param("64", marks=pytest.mark.long)])
def test_it_works_with_as_many_threads_as_a_small_or_large_machine_has_processors(threads):
    """Each reserves memory, of which an engine has a bound."""
    done = run("transcribe", str(AUSTEN_SHORT.path), STT_THREADS=threads)
    assert done.returncode == 0, done.stderr
    assert understood(done.stdout.decode(), AUSTEN_SHORT.text)


def test_a_relative_path_is_looked_for_where_the_user_is(tmp_path):
    (tmp_path / "clip.flac").write_bytes(AUSTEN_SHORT.path.read_bytes())
    script = 'cd "$1" && shift && exec "$@"'
    done = run("transcribe", "clip.flac", "-o", "clip.txt", prefix=("sh", "-c", script, "sh", str(tmp_path)),
               PYTHONPATH=str(PROJECT))  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert understood((tmp_path / "clip.txt").read_text(), AUSTEN_SHORT.text)


def test_a_recording_comes_in_by_a_pipe_and_goes_out_as_json():
    done = run("transcribe", "-", "-f", "json", "--word-timestamps", given=recorded_as("webm_chrome"))
    said = json.loads(done.stdout)
    assert understood(said["text"], AUSTEN_SHORT.text)
    assert said["model"] == "tiny.en"
    assert said["duration"] == pytest.approx(AUSTEN_SHORT.seconds, abs=0.1)
    assert said["segments"][0]["words"][0]["start"] >= 0


@pytest.mark.long
def test_the_suffix_chooses_the_format(tmp_path):
    for suffix in ("srt", "vtt"):
        done = run("transcribe", str(AUSTEN_SHORT.path), "-o", str(tmp_path / f"a.{suffix}"))
        assert done.returncode == 0, done.stderr
    (cue, *_) = srt.parse((tmp_path / "a.srt").read_text())
    assert cue.start.total_seconds() < 1
    assert webvtt.read(str(tmp_path / "a.vtt"))[0].text.splitlines() == cue.content.splitlines()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.srt", "a.vtt"]


def test_what_is_no_recording_is_refused_and_an_older_result_kept(tmp_path):
    (tmp_path / "old.txt").write_text("kept")
    done = run("transcribe", str(PROJECT / "README.md"), "-o", str(tmp_path / "old.txt"))
    assert done.returncode == 1
    assert done.stderr.startswith(b"Error: the file is no recording")
    assert done.stderr.count(b"\n") == 1
    assert [path.read_text() for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize(
    ("words_given", "complaint"),
    [
        (["no.wav"], "No such file"),
        ([str(AUSTEN_SHORT.path), "--language", "xx"], "'xx' is unknown"),
        ([str(AUSTEN_SHORT.path), "--beam-size", "11"], "1<=x<=10"),
        ([str(AUSTEN_SHORT.path), "-f", "pdf"], "'pdf' is not one of"),
        ([str(AUSTEN_SHORT.path), "-o", "/nowhere/a.txt"], "/nowhere is not a directory"),
    ],
)
def test_a_wrong_command_line_leaves_with_2_before_any_work(words_given, complaint):
    done = CliRunner().invoke(cli, ["transcribe", *words_given])
    assert done.exit_code == 2
    assert complaint in done.output


def test_a_model_that_is_not_here_is_named_with_what_to_do(tmp_path):
    done = run("transcribe", str(AUSTEN_SHORT.path), MODEL_DIR=str(tmp_path))
    assert done.returncode == 1
    assert b"the model tiny.en is not in" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_setting_that_cant_be_read_is_named():
    done = run("transcribe", str(AUSTEN_SHORT.path), PORT="eighty")
    assert (done.returncode, done.stderr) == (1, b"Error: PORT: 'eighty' is not a whole number\n")


def test_ctrl_c_ends_the_engine_at_once_and_writes_nothing(tmp_path):
    long = tmp_path / "long.flac"
    long.write_bytes(AUSTEN.path.read_bytes())
    command = [
        "env",
        "--default-signal=INT",  # whoever runs the tests in the background has it ignored
        sys.executable,
        "-m",
        "app",
        "transcribe",
        str(long),
        "--beam-size",
        "10",
        "-o",
        str(tmp_path / "a.txt"),
    ]
    with subprocess.Popen(command, cwd=PROJECT, start_new_session=True, stderr=subprocess.PIPE) as process:
        until(lambda: engines_of(process.pid) or process.poll() is not None, "the engine starts")
        (engine,) = engines_of(process.pid)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
        assert process.wait(60) == 130
        assert process.stderr.read() == b""
    until(lambda: has_ended(engine), "the engine ends")
    assert [path.name for path in tmp_path.iterdir()] == ["long.flac"]


def engines_of(pid: int) -> list[int]:
    """The engine processes *pid* has started."""
    return [
        child
        for child in children(pid)
        if b"app.engine_process" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def test_a_terminal_sees_how_far_it_is_and_then_nothing_of_it(tmp_path):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "app", "transcribe", str(AUSTEN.path), "-o", str(tmp_path / "a.txt")]
    process = subprocess.Popen(command, cwd=PROJECT, stderr=theirs)
    os.close(theirs)
    shown = b""
    while select.select([ours], [], [], 60)[0]:
        try:
            shown += os.read(ours, 4096)
        except OSError:  # the terminal's other end is closed
            break
    os.close(ours)
    assert process.wait(60) == 0
    assert b"Transcribing" in shown
    assert b"100%" in shown
    assert understood((tmp_path / "a.txt").read_text(), AUSTEN.text)


def test_the_length_is_told_where_the_file_states_it(tmp_path):
    (tmp_path / "live.webm").write_bytes(recorded_as("webm_chrome"))
    with speech(Settings.from_env()) as engines:
        for path, seconds in ((AUSTEN_SHORT.path, AUSTEN_SHORT.seconds), (tmp_path / "live.webm", None)):
            transcription = engines.transcribe(TranscriptionRequest(path=str(path)))
            assert len(list(transcription)) > 0
            assert transcription.stated_seconds == (seconds and pytest.approx(seconds, abs=0.01))


@pytest.mark.parametrize(
    "name",
    [
        b"\xff\xfe",
        b"a" * 246,
        *(pytest.param(name, marks=pytest.mark.long) for name in (b"caf\xe9", "日本".encode("euc-jp"))),
    ],
)
def test_a_file_may_have_any_name(name, tmp_path):
    folder = os.fsencode(tmp_path)
    recording, text, spoken = (os.path.join(folder, name + end) for end in (b".flac", b".srt", b".mp3"))
    Path(os.fsdecode(recording)).write_bytes(AUSTEN_SHORT.path.read_bytes())
    done = run("transcribe", os.fsdecode(recording), "-o", os.fsdecode(text))
    assert (done.returncode, done.stderr) == (0, b"")
    done = run("speak", "Good morning.", "--engine", "espeak", "-o", os.fsdecode(spoken))
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(folder)) == sorted(map(os.path.basename, (recording, text, spoken)))


@pytest.mark.parametrize("locale", ["C", pytest.param("C.UTF-8", marks=pytest.mark.long)])
def test_a_model_may_lie_in_a_directory_of_any_name(locale, tmp_path):
    directory = os.path.join(os.fsencode(tmp_path), b"mod\xe9les")
    os.symlink(Settings.from_env().model_dir, directory)
    place = os.fsdecode(directory)
    done = run(
        "transcribe", str(AUSTEN_SHORT.path), "-f", "json", "--model", f"{place}/tiny.en", LC_ALL=locale
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"] == "tiny.en"
    done = run("config", MODEL_DIR=place, LC_ALL=locale)
    assert b"MODEL_DIR=" + directory + b"  # environment\n" in done.stdout
    assert b"Traceback" not in done.stderr


def test_a_text_that_is_not_utf_8_is_refused(tmp_path):
    for words_given, text in ((("-",), b"caf\xe9"), ((os.fsdecode(b"caf\xe9"),), b"")):
        done = run("speak", *words_given, "-o", str(tmp_path / "a.mp3"), given=text)
        assert (done.returncode, b"the text is not UTF-8" in done.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []

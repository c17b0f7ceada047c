"""`models`: what is known, what is here, and how it goes."""

import shutil
from pathlib import Path

from app.config import Settings

from .command import run

MODEL = Path(Settings.from_env().model_dir) / "tiny.en"


def test_the_list_says_what_each_costs_and_which_are_here():
    listed = run("models", "list").stdout.decode().splitlines()
    assert any(line.split() == ["tiny.en", "145", "MB", "(measured)", "installed"] for line in listed)
    assert any(line.startswith("large-v3 ") for line in listed)


def test_a_model_of_ones_own_is_listed_and_removed(tmp_path):
    shutil.copytree(MODEL, tmp_path / "ours")
    assert run("models", "list", MODEL_DIR=str(tmp_path)).stdout.decode().splitlines()[-1].startswith("ours ")
    done = run("models", "remove", "ours", MODEL_DIR=str(tmp_path))
    assert done.stdout.decode() == f"removed {tmp_path / 'ours'}\n"
    assert list(tmp_path.iterdir()) == []


def test_who_removes_the_model_that_is_set_is_told_how_it_comes_back(tmp_path):
    shutil.copytree(MODEL, tmp_path / "tiny.en")
    done = run("models", "remove", "tiny.en", MODEL_DIR=str(tmp_path))
    assert b"python -m app models fetch tiny.en" in done.stderr


def test_a_further_model_that_cannot_be_had_is_a_warning_and_no_failure(tmp_path):
    """`make run` starts all the same; without the first there is nothing to start."""
    shutil.copytree(MODEL, tmp_path / "tiny.en")
    away = {"MODEL_DIR": str(tmp_path), "PIP_NO_INDEX": "1", "HTTPS_PROXY": "http://127.0.0.1:9"}
    done = run("models", "fetch", **away)
    assert done.returncode == 0
    assert done.stdout.decode() == f"{tmp_path / 'tiny.en'}\n"
    assert b"it works without base; fetch it later: python -m app models fetch base" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.en"]
    assert run("models", "fetch", WHISPER_MODEL="base,tiny.en", **away).returncode == 1


def test_a_further_model_that_does_not_fit_is_not_fetched(tmp_path):
    shutil.copytree(MODEL, tmp_path / "tiny.en")
    done = run(
        "models", "fetch", MODEL_DIR=str(tmp_path), WHISPER_MODEL="tiny.en,large-v3", MEMORY_BUDGET_MB="512"
    )
    assert (done.returncode, b"large-v3 is not fetched" in done.stderr) == (0, True)


def test_where_no_model_fits_that_is_said(tmp_path):
    small = {"MODEL_DIR": str(tmp_path), "MEMORY_BUDGET_MB": "100", "WHISPER_MODEL": "auto"}
    done = run("models", "fetch", **small)
    assert done.returncode == 1
    assert done.stderr.decode().startswith("no model fits: the budget is 100 MB (MEMORY_BUDGET_MB)")
    assert list(tmp_path.iterdir()) == []


def test_nothing_but_models_can_be_removed(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "precious").mkdir()
    for name in ("../precious", "precious", ".", str(tmp_path / "precious")):
        done = run("models", "remove", name, MODEL_DIR=str(tmp_path / "models"))
        assert done.returncode == 1
        assert b"installed: none" in done.stderr
    assert (tmp_path / "precious").is_dir()

"""What comments, docstrings and lists of packages name is there: nobody else would notice when it goes."""

import ast
import importlib.metadata
import io
import re
import tokenize
from pathlib import Path

import pytest

from app.config import PROJECT

FOLDERS = ("app", "tests", "benchmarks", "scripts", "docs")
# Of other people's programs, which a comment may name.
ELSEWHERE = {"ModelSpec", "_serialize", "DataType", "IOBase", "seek", "is_global", "logconfig_dict"}
OTHERS_PATHS = ("whisper/", "ctranslate2/", "faster_whisper/", "gunicorn/", "celery/")
# What brings itself into play when it is installed, and by what in `app/` that is asked for.
UNNAMED = {"s3fs": "s3", "faster-whisper": "silero"}


def files() -> list[Path]:
    """All that is written by hand."""
    found = [path for path in PROJECT.iterdir() if path.is_file() and not path.name.startswith(".git")]
    for folder in FOLDERS:
        found += [
            path
            for path in (PROJECT / folder).rglob("*")
            if path.is_file() and not {"node_modules", "__pycache__"} & set(path.parts)
        ]
    return found


FILES = files()
PYTHON = sorted(path for path in FILES if path.suffix == ".py")
NAMES = [f"/{path.relative_to(PROJECT)}" for path in FILES]


def said(code: str) -> list[str]:
    """The comments and docstrings of a module."""
    found = [
        token.string
        for token in tokenize.generate_tokens(io.StringIO(code).readline)
        if token.type == tokenize.COMMENT
    ]
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(ast.get_docstring(node) or "")
    return found


def words(code: str) -> set[str]:
    """Every word of a module's code: names, and what is in its strings, but not in docstrings and comments."""
    tree = ast.parse(code)
    docstrings = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        for _, value in ast.iter_fields(node):
            values = value if isinstance(value, list) else [value]
            if node not in docstrings:
                found |= {
                    word for each in values if isinstance(each, str) for word in re.findall(r"\w+", each)
                }
    return found


@pytest.fixture(scope="module")
def known() -> set[str]:
    """Every word of the code, and of the files' names."""
    found = set(re.findall(r"\w+", " ".join(NAMES)))
    for path in FILES:
        if path.suffix == ".py":
            found |= words(path.read_text(encoding="utf-8"))
        elif (
            path.suffix in (".js", ".html", ".css", ".sh", ".toml", ".yaml", ".yml", "")
            or path.name == "Makefile"
        ):
            found |= set(re.findall(r"\w+", path.read_text(encoding="utf-8")))
    return found


def test_every_name_in_a_comment_or_docstring_exists(known):
    missing = [
        f"{path.relative_to(PROJECT)}: {name}"
        for path in PYTHON
        for text in said(path.read_text(encoding="utf-8"))
        for name in re.findall(r"(?<!`)`([\w.]+?)(?:\(\))?`(?!`)", text)
        if not set(re.findall(r"\w+", name)) <= known | ELSEWHERE
    ]
    assert missing == []


def test_every_file_in_a_comment_or_docstring_exists():
    missing = [
        f"{path.relative_to(PROJECT)}: {name}"
        for path in [*PYTHON, PROJECT / "Makefile"]
        for text in (
            said(path.read_text(encoding="utf-8")) if path.suffix else [path.read_text(encoding="utf-8")]
        )
        for name in re.findall(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|md|sh|js|ya?ml|toml|in))`", text)
        if not name.startswith(OTHERS_PATHS) and not any(file.endswith(f"/{name}") for file in NAMES)
    ]
    assert missing == []


def test_every_module_that_is_to_be_run_exists():
    missing = [
        f"{path.relative_to(PROJECT)}: {name}"
        for path in FILES
        if path.suffix in (".py", ".md", ".sh", ".yml", ".yaml", ".json", "") and path.name != "CHANGELOG.md"
        for name in re.findall(
            r"python3? -m ((?:app|tests|benchmarks)(?:\.\w+)*)", path.read_text(encoding="utf-8")
        )
        if not {f"/{name.replace('.', '/')}{end}" for end in (".py", "/__main__.py")} & set(NAMES)
    ]
    assert missing == []


@pytest.fixture(scope="module")
def used() -> set[str]:
    """Every word of what is deployed."""
    found = set(re.findall(r"\w+", (PROJECT / "Procfile").read_text(encoding="utf-8")))
    for path in PYTHON:
        if not {"tests", "benchmarks"} & set(path.relative_to(PROJECT).parts):
            found |= words(path.read_text(encoding="utf-8"))
    return found


def chosen() -> list[str]:
    """The packages of `requirements.in`."""
    lines = (PROJECT / "requirements.in").read_text(encoding="utf-8").splitlines()
    return [re.split(r"[\[<>=~! #]", line)[0] for line in lines if re.match(r"\w", line)]


@pytest.mark.parametrize("package", chosen())
def test_every_package_that_is_chosen_is_used(package, used):
    """What only another package needs is that one's to require."""
    files = importlib.metadata.files(package) or ()
    brings = {Path(file.parts[0]).stem for file in files}  # packages_distributions() of Python 3.10 knows few
    assert (brings | {UNNAMED.get(package, package)}) & used, f"nothing names {package}"

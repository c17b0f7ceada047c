"""A finding of `doctor`."""

from dataclasses import dataclass

OK, WARNING, ERROR = "ok", "warning", "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """The state of one thing; an error keeps the service, or a part of it, from working."""

    status: str
    name: str
    detail: str
    remedy: str = ""


def ok(name: str, detail: str) -> Finding:
    """It works, and there is nothing to do."""
    return Finding(OK, name, detail)


def warning(name: str, detail: str, remedy: str) -> Finding:
    """It works, but not as well as it could, or not for long."""
    return Finding(WARNING, name, detail, remedy)


def error(name: str, detail: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(ERROR, name, detail, remedy)

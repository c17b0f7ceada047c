"""What the doctor says of one thing."""

from dataclasses import dataclass

OK, WARNING, ERROR = "ok", "warning", "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; an error keeps the service, or a part of it, from working."""

    status: str
    name: str
    detail: str
    remedy: str = ""


def well(name: str, detail: str) -> Finding:
    """Nothing to do."""
    return Finding(OK, name, detail)


def warning(name: str, detail: str, remedy: str) -> Finding:
    """It works, but not as well as it could, or not for long."""
    return Finding(WARNING, name, detail, remedy)


def error(name: str, detail: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(ERROR, name, detail, remedy)

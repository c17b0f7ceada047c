"""A finding of `doctor`."""

from functools import partial
from typing import NamedTuple

OK, WARNING, ERROR = "ok", "warning", "error"


class Finding(NamedTuple):
    """
    The state of one thing. An error keeps the service, or a part of it, from working; after a warning it works, but not
    as well as it could, or not for long.
    """

    status: str
    name: str
    detail: str
    remedy: str = ""


ok, warning, error = partial(Finding, OK), partial(Finding, WARNING), partial(Finding, ERROR)

"""Fields of forms, query strings and JSON bodies as the types they stand for; a wrong one says what is accepted."""

import math
from collections.abc import Collection, Mapping
from typing import Any

from flask import request

from ..errors import InvalidRequest

Fields = Mapping[str, Any]  # a form's are all text, a JSON body's may be anything


def json_body() -> Fields:
    """The request's JSON object; InvalidRequest for anything else."""
    body = request.get_json(force=True, silent=True)
    if not isinstance(body, dict):
        raise InvalidRequest('the body must be a JSON object, such as {"text": "Hello."}')
    return body


def text(fields: Fields, name: str, default: str | None = None) -> str | None:
    """A text, stripped; an empty one counts as not given."""
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} must be a text", name)
    return value.strip() or default


def choice(fields: Fields, name: str, accepted: Collection[str], default: str) -> str:
    """One of *accepted*, whatever its case."""
    value = text(fields, name, default)
    if value is None or value.lower() not in accepted:
        raise InvalidRequest(f"{name} must be one of {', '.join(accepted)}", name)
    return value.lower()


def number(fields: Fields, name: str, *, least: float, most: float) -> float | None:
    """A finite number from *least* to *most*, also when it is written as a text; None when not given."""
    value = fields.get(name)
    if value is None or value == "":
        return None
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not least <= found <= most:
        raise InvalidRequest(f"{name} must be a number from {least:g} to {most:g}", name)
    return found


def flag(fields: Fields, name: str, default: bool = False) -> bool:
    """True or false, also when it is written as a text."""
    value = fields.get(name)
    if value is None or value == "":
        return default
    if isinstance(value, bool):
        return value
    found = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if str(value).lower() not in found:
        raise InvalidRequest(f"{name} must be true or false", name)
    return found[str(value).lower()]

"""Fields of forms, query strings and JSON bodies: what each accepts, how it is read, how it is described."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from werkzeug.datastructures import MultiDict

from ..config import read_bool
from ..errors import InvalidRequest
from ..speech import languages

Fields = Mapping[str, Any]  # a form's are all text, a JSON body's may be anything
Schema = dict[str, Any]
Texts = tuple[str, ...]
Refusal = type[InvalidRequest]
# What a given value stands for, None for nothing; ValueError, without a text: must be what *accepts* says.
Read = Callable[[Any], Any]


class Field(NamedTuple):
    """
    A field of a request. It reads a value and describes it as JSON Schema, so that both say the same.

    One without *value* is accepted and ignored. The functions below make the kinds there are. *accepts* says what to
    send, in words, and *kind* in the terms of JSON Schema; something else is refused with *refusal*.
    """

    name: str
    help: str = "accepted and ignored"
    default: Any = None
    required: bool = False
    value: Read | None = None
    accepts: str = ""
    kind: Schema = {}  # noqa: RUF012 (nobody writes to it)
    repeated: bool = False  # with or without `[]` after its name
    refusal: Refusal = InvalidRequest

    def read(self, fields: Fields) -> Any:
        """Its value in *fields*, its default where there is none; InvalidRequest says what is accepted."""
        given = _all(self.name, fields) if self.repeated else fields.get(self.name)
        try:
            found = None if given is None or given == "" or self.value is None else self.value(given)
        except ValueError as problem:
            reason = str(problem) or f"must be {self.accepts}"
            raise self.refusal(f"{self.name} {reason}", self.name) from None
        if found is None and self.required:
            raise InvalidRequest(f"{self.name} is missing; send {self.accepts or self.help}", self.name)
        return self.default if found is None else found

    def schema(self) -> Schema:
        """Its JSON Schema, as OpenAPI 3.1 has it."""
        default = {} if self.default is None else {"default": self.default}
        return {**self.kind, "description": self.help, **default}


def _all(name: str, fields: Fields) -> list[object]:
    """What is given of a field that is repeated in a form, and a list in JSON."""
    found: list[object] = []
    for known in (name, name.removesuffix("[]")):
        for one in fields.getlist(known) if isinstance(fields, MultiDict) else [fields.get(known, [])]:
            found += one if isinstance(one, list) else [one]
    return found


def Recording(name: str, help: str, *, required: bool = False) -> Field:
    """A file; `receive_recording` reads it."""
    return Field(name, help, required=required, kind={"type": "string", "format": "binary"})


def Text(name: str, help: str, default: Any = None, *, required: bool = False, longest: int = 0) -> Field:
    """A text of at most *longest* characters; 0 sets no limit."""

    def value(given: Any) -> str | None:
        if not isinstance(given, str):
            raise ValueError("must be a text")
        found = given.strip()
        if longest and len(found) > longest:
            raise ValueError(f"has {len(found)} characters; accepted are at most {longest}")
        return found or None

    least = {"minLength": 1} if required else {}
    kind = {"type": "string", **least, **({"maxLength": longest} if longest else {})}
    return Field(name, help, default, required, value, kind=kind)


def Name(name: str, help: str, *, required: bool = False) -> Field:
    """A text, or an object that has it as its `id`."""

    def value(given: Any) -> str | None:
        found = given.get("id") if isinstance(given, dict) else given
        if not isinstance(found, str):
            raise ValueError('must be a text, or an object such as {"id": "alloy"}')
        return found.strip() or None

    named = {"type": "string", "minLength": 1}
    object_ = {"type": "object", "properties": {"id": named}, "required": ["id"]}
    return Field(name, help, None, required, value, kind={"anyOf": [named, object_]})


def Number(
    name: str, help: str, default: Any = None, *, least: float = 0, most: float, whole: bool = False
) -> Field:
    """A number from *least* to *most*; a *whole* one where that is asked for."""

    def value(given: Any) -> float:
        try:
            found = math.nan if isinstance(given, bool) else float(given)
        except (TypeError, ValueError, OverflowError):
            found = math.nan
        if not least <= found <= most or (whole and found != int(found)):
            raise ValueError
        return int(found) if whole else found

    accepts = f"a {'whole ' if whole else ''}number from {least:g} to {most:g}"
    kind = {"type": "integer" if whole else "number", "minimum": least, "maximum": most}
    return Field(name, help, default, value=value, accepts=accepts, kind=kind)


def Flag(name: str, help: str, default: bool) -> Field:
    """True or false."""

    def value(given: Any) -> bool:
        try:
            return read_bool(str(given))
        except ValueError:
            raise ValueError from None

    return Field(name, help, default, value=value, accepts="true or false", kind={"type": "boolean"})


def Choice(
    name: str, help: str, default: Any = None, *, of: Texts, refusal: Refusal = InvalidRequest
) -> Field:
    """One of the texts in *of*; anything else is refused with *refusal*."""

    def value(given: Any) -> str:
        if str(given).lower() not in of:
            raise ValueError
        return str(given).lower()

    kind, accepts = {"type": "string", "enum": [*of]}, f"one of {', '.join(of)}"
    return Field(name, help, default, value=value, accepts=accepts, kind=kind, refusal=refusal)


def Choices(name: str, help: str, default: list[str], *, of: Texts) -> Field:
    """Some of the texts in *of*: a field that may be repeated, with or without `[]` after its name."""

    def value(given: list[object]) -> list[str] | None:
        if any(one not in of for one in given):
            raise ValueError
        return [one for one in of if one in given] or None

    kind = {"type": "array", "items": {"type": "string", "enum": [*of]}}
    accepts = f"any of {', '.join(of)}"
    return Field(name, help, default, value=value, accepts=accepts, kind=kind, repeated=True)


def Many(name: str, help: str) -> Field:
    """Any texts: a field that may be repeated, with or without `[]` after its name."""

    def value(given: list[object]) -> list[str] | None:
        if not all(isinstance(one, str) for one in given):
            raise ValueError("must be texts")
        return [text for one in given if (text := str(one).strip())] or None

    kind = {"type": "array", "items": {"type": "string"}}
    return Field(name, help, [], value=value, kind=kind, repeated=True)


def Languages(name: str, help: str) -> Field:
    """Languages by their codes or English names: a field as `Many`."""

    def value(given: list[object]) -> list[str] | None:
        return [*dict.fromkeys(languages.whisper_code(str(one)) for one in given if one)] or None

    return Many(name, help)._replace(value=value)


def read_object(fields: Fields, name: str, path: str = "") -> dict[str, Any]:
    """The object *name* in *fields*, which stand at *path*; an empty one where there is none."""
    found, where = fields.get(name), f"{path}.{name}".lstrip(".")
    if found is not None and not isinstance(found, dict):
        raise InvalidRequest(f"{where} must be an object", where)
    return found or {}


def read(table: Iterable[Field], fields: Fields) -> dict[str, Any]:
    """The value of each field of *table* by its name, without those that are ignored and recordings."""
    return {one.name: one.read(fields) for one in table if one.value is not None}

"""Fields of forms, query strings and JSON bodies: what each accepts, how it is read, how it is described."""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import request
from werkzeug.datastructures import MultiDict

from ..errors import InvalidRequest

TRUE, FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")

Fields = Mapping[str, Any]  # a form's are all text, a JSON body's may be anything


def json_body(example: str = '{"text": "Hello."}') -> Fields:
    """The request's JSON object; InvalidRequest for anything else, with an *example* of what is accepted."""
    body = request.get_json(force=True, silent=True)
    if not isinstance(body, dict):
        raise InvalidRequest(f"the body must be a JSON object, such as {example}")
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
    if str(value).lower() not in (*TRUE, *FALSE):
        raise InvalidRequest(f"{name} must be true or false", name)
    return str(value).lower() in TRUE


@dataclass(frozen=True, slots=True)
class Field:
    """
    A field of a request. It reads a value and describes it as JSON Schema, so that both say the same.

    This one is accepted and ignored; the others are kinds of it.
    """

    name: str
    help: str = "accepted and ignored"
    default: Any = None
    required: bool = field(default=False, kw_only=True)

    def read(self, given: Fields) -> Any:
        """Its value in *given*, its default where there is none; InvalidRequest says what is accepted."""
        found = self.value(given)
        if found is None and self.required:
            raise InvalidRequest(f"{self.name} is missing; send {self.accepts()}", self.name)
        return self.default if found is None else found

    def schema(self) -> dict[str, Any]:
        """Its JSON Schema, as OpenAPI 3.1 has it."""
        default = {} if self.default is None else {"default": self.default}
        return {**self.type(), "description": self.help, **default}

    def value(self, given: Fields) -> Any:
        """What *given* holds of it; None for nothing."""
        return None

    def accepts(self) -> str:
        """What to send, in words."""
        return self.help

    def type(self) -> dict[str, Any]:
        """The part of its schema that says what is accepted."""
        return {}


@dataclass(frozen=True, slots=True)
class Recording(Field):
    """A file, which the upload is read from."""

    def read(self, given: Fields) -> None:
        """Nothing: `receive_recording` has it."""

    def type(self) -> dict[str, Any]:
        """Bytes."""
        return {"type": "string", "format": "binary"}


@dataclass(frozen=True, slots=True)
class Text(Field):
    """A text of at most *longest* characters; 0 sets no limit."""

    longest: int = field(default=0, kw_only=True)

    def value(self, given: Fields) -> str | None:
        """The text, stripped."""
        found = text(given, self.name)
        if found and self.longest and len(found) > self.longest:
            raise InvalidRequest(
                f"{self.name} has {len(found)} characters; accepted are at most {self.longest}", self.name
            )
        return found

    def type(self) -> dict[str, Any]:
        """A string."""
        longest = {"maxLength": self.longest} if self.longest else {}
        return {"type": "string", **({"minLength": 1} if self.required else {}), **longest}


@dataclass(frozen=True, slots=True)
class Name(Field):
    """A text, or an object that has it as its `id`."""

    def value(self, given: Fields) -> str | None:
        """The text."""
        found = given.get(self.name)
        if isinstance(found, dict):
            found = found.get("id", found)
        return text({self.name: found}, self.name)

    def type(self) -> dict[str, Any]:
        """Either."""
        named = {"type": "string", "minLength": 1}
        return {"anyOf": [named, {"type": "object", "properties": {"id": named}, "required": ["id"]}]}


@dataclass(frozen=True, slots=True)
class Number(Field):
    """A number from *least* to *most*; a *whole* one where that is asked for."""

    least: float = field(default=0, kw_only=True)
    most: float = field(kw_only=True)
    whole: bool = field(default=False, kw_only=True)

    def value(self, given: Fields) -> float | None:
        """The number, also where it is written as a text."""
        found = number(given, self.name, least=self.least, most=self.most)
        if found is None or not self.whole:
            return found
        if found != int(found):
            raise InvalidRequest(f"{self.name} must be {self.accepts()}", self.name)
        return int(found)

    def accepts(self) -> str:
        """Its range."""
        return f"a {'whole ' if self.whole else ''}number from {self.least:g} to {self.most:g}"

    def type(self) -> dict[str, Any]:
        """A number and its range."""
        return {"type": "integer" if self.whole else "number", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Flag(Field):
    """True or false."""

    def value(self, given: Fields) -> bool | None:
        """The flag, also where it is written as a text."""
        return None if given.get(self.name) in (None, "") else flag(given, self.name)

    def type(self) -> dict[str, Any]:
        """A boolean."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Choice(Field):
    """One of the texts in *of*."""

    of: tuple[str, ...] = field(kw_only=True)

    def value(self, given: Fields) -> str | None:
        """The text, in lower case."""
        return None if given.get(self.name) in (None, "") else choice(given, self.name, self.of, "")

    def accepts(self) -> str:
        """All of them."""
        return f"one of {', '.join(self.of)}"

    def type(self) -> dict[str, Any]:
        """An enumeration."""
        return {"type": "string", "enum": list(self.of)}


@dataclass(frozen=True, slots=True)
class Choices(Field):
    """Some of the texts in *of*: a field that may be repeated, with or without `[]` after its name."""

    of: tuple[str, ...] = field(kw_only=True)

    def value(self, given: Fields) -> list[str] | None:
        """The texts."""
        found: list[object] = []
        for name in (self.name, self.name.removesuffix("[]")):
            if isinstance(given, MultiDict):
                found += given.getlist(name)
            elif name in given:
                found += given[name] if isinstance(given[name], list) else [given[name]]
        wrong = [value for value in found if value not in self.of]
        if wrong:
            raise InvalidRequest(f"{self.name} must be of {', '.join(self.of)}", self.name)
        return [value for value in self.of if value in found] or None

    def type(self) -> dict[str, Any]:
        """A list of an enumeration."""
        return {"type": "array", "items": {"type": "string", "enum": list(self.of)}}


def read(table: Iterable[Field], given: Fields) -> dict[str, Any]:
    """The value of every field of *table*, by its name; InvalidRequest for the first that is wrong."""
    return {field.name: field.read(given) for field in table}

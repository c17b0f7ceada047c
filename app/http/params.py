"""Fields of forms, query strings and JSON bodies: what each accepts, how it is read, how it is described."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from werkzeug.datastructures import MultiDict

from ..config import read_bool
from ..errors import InvalidRequest

Fields = Mapping[str, Any]  # a form's are all text, a JSON body's may be anything


# Without eq and repr, which nobody asks for, a class takes 0.1 ms less of the start.
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Field:
    """
    A field of a request. It reads a value and describes it as JSON Schema, so that both say the same.

    This one is accepted and ignored; the others are kinds of it.
    """

    name: str
    help: str = "accepted and ignored"
    default: Any = None
    required: bool = field(default=False, kw_only=True)

    def read(self, fields: Fields) -> Any:
        """Its value in *fields*, its default where there is none; InvalidRequest says what is accepted."""
        given = fields.get(self.name)
        found = None if given is None or given == "" else self.value(given)
        if found is None and self.required:
            raise InvalidRequest(f"{self.name} is missing; send {self.accepts()}", self.name)
        return self.default if found is None else found

    def schema(self) -> dict[str, Any]:
        """Its JSON Schema, as OpenAPI 3.1 has it."""
        default = {} if self.default is None else {"default": self.default}
        return {**self.kind(), "description": self.help, **default}

    def value(self, given: Any) -> Any:
        """What *given* stands for; None for nothing."""

    def accepts(self) -> str:
        """What to send, in words."""
        return self.help

    def kind(self) -> dict[str, Any]:
        """The part of its schema that says what is accepted."""
        return {}

    def wrong(self) -> InvalidRequest:
        """The refusal of something else."""
        return InvalidRequest(f"{self.name} must be {self.accepts()}", self.name)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Recording(Field):
    """A file; `receive_recording` reads it."""

    def kind(self) -> dict[str, Any]:
        return {"type": "string", "format": "binary"}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Text(Field):
    """A text of at most *longest* characters; 0 sets no limit."""

    longest: int = field(default=0, kw_only=True)

    def value(self, given: Any) -> str | None:
        if not isinstance(given, str):
            raise InvalidRequest(f"{self.name} must be a text", self.name)
        found = given.strip()
        if self.longest and len(found) > self.longest:
            raise InvalidRequest(
                f"{self.name} has {len(found)} characters; accepted are at most {self.longest}", self.name
            )
        return found or None

    def kind(self) -> dict[str, Any]:
        longest = {"maxLength": self.longest} if self.longest else {}
        return {"type": "string", **({"minLength": 1} if self.required else {}), **longest}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Name(Field):
    """A text, or an object that has it as its `id`."""

    def value(self, given: Any) -> str | None:
        found = given.get("id") if isinstance(given, dict) else given
        if not isinstance(found, str):
            raise InvalidRequest(
                f'{self.name} must be a text, or an object such as {{"id": "alloy"}}', self.name
            )
        return found.strip() or None

    def kind(self) -> dict[str, Any]:
        named = {"type": "string", "minLength": 1}
        return {"anyOf": [named, {"type": "object", "properties": {"id": named}, "required": ["id"]}]}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Number(Field):
    """A number from *least* to *most*; a *whole* one where that is asked for."""

    least: float = field(default=0, kw_only=True)
    most: float = field(kw_only=True)
    whole: bool = field(default=False, kw_only=True)

    def value(self, given: Any) -> float:
        try:
            found = math.nan if isinstance(given, bool) else float(given)
        except (TypeError, ValueError, OverflowError):
            found = math.nan
        if not self.least <= found <= self.most or (self.whole and found != int(found)):
            raise self.wrong()
        return int(found) if self.whole else found

    def accepts(self) -> str:
        return f"a {'whole ' if self.whole else ''}number from {self.least:g} to {self.most:g}"

    def kind(self) -> dict[str, Any]:
        return {"type": "integer" if self.whole else "number", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Flag(Field):
    """True or false."""

    def value(self, given: Any) -> bool:
        try:
            return read_bool(str(given))
        except ValueError:
            raise self.wrong() from None

    def accepts(self) -> str:
        return "true or false"

    def kind(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Choice(Field):
    """One of the texts in *of*; anything else is refused with *refusal*."""

    of: tuple[str, ...] = field(kw_only=True)
    refusal: type[InvalidRequest] = field(default=InvalidRequest, kw_only=True)

    def value(self, given: Any) -> str:
        text = str(given).lower()
        if text not in self.of:
            raise self.refusal(f"{self.name} must be {self.accepts()}", self.name)
        return text

    def accepts(self) -> str:
        return f"one of {', '.join(self.of)}"

    def kind(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.of)}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Choices(Field):
    """Some of the texts in *of*: a field that may be repeated, with or without `[]` after its name."""

    of: tuple[str, ...] = field(kw_only=True)

    def read(self, fields: Fields) -> list[str]:
        found: list[object] = []
        for name in (self.name, self.name.removesuffix("[]")):
            for one in fields.getlist(name) if isinstance(fields, MultiDict) else [fields.get(name, [])]:
                found += one if isinstance(one, list) else [one]  # a form repeats the field, JSON has a list
        if any(one not in self.of for one in found):
            raise self.wrong()
        return [one for one in self.of if one in found] or list(self.default)

    def accepts(self) -> str:
        return f"any of {', '.join(self.of)}"

    def kind(self) -> dict[str, Any]:
        return {"type": "array", "items": {"type": "string", "enum": list(self.of)}}


def read(table: Iterable[Field], fields: Fields) -> dict[str, Any]:
    """The value of each field of *table* by its name, without those that are ignored or no value but a file."""
    return {one.name: one.read(fields) for one in table if type(one) not in (Field, Recording)}

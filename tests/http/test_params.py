"""What a request's fields accept, and that their description says the same."""

import pytest
from werkzeug.datastructures import MultiDict

from app.errors import InvalidRequest, UnsupportedFormat
from app.http import params
from app.http.params import Choice, Field, Flag, Many, Name, Number, Recording, Text

TEXT = Text("prompt", "a prompt", longest=5)
NUMBER = Number("speed", "how fast", 1.0, least=0.25, most=4)
WHOLE = Number("beam", "how many", least=1, most=10, whole=True)
FLAG = Flag("stream", "events", False)
CHOICE = Choice("format", "which", "json", of=("json", "text"), refusal=UnsupportedFormat)
CHOICES = Many("kinds[]", "some", ("a",), of=("a", "b"))
NAME = Name("voice", "a voice", required=True)


@pytest.mark.parametrize(
    ("field", "written", "found"),
    [
        (TEXT, " hi ", "hi"),
        (TEXT, "  ", None),
        (NUMBER, "0.25", 0.25),
        (NUMBER, 4, 4),
        (NUMBER, "", 1.0),
        (NUMBER, None, 1.0),
        (WHOLE, "3.0", 3),
        (FLAG, "True", True),
        (FLAG, False, False),
        (FLAG, "off", False),
        (CHOICE, "TEXT", "text"),
        (CHOICE, None, "json"),
        (NAME, "nova", "nova"),
        (NAME, {"id": "nova"}, "nova"),
    ],
)
def test_a_value_is_read(field, written, found):
    assert field.read({field.name: written}) == found


@pytest.mark.parametrize(
    ("field", "written", "accepted"),
    [
        (TEXT, 3, "text"),
        (TEXT, "longer", "at most 5"),
        (NUMBER, "fast", "0.25 to 4"),
        (NUMBER, "nan", "0.25 to 4"),
        (NUMBER, "inf", "0.25 to 4"),
        (NUMBER, True, "0.25 to 4"),
        (NUMBER, [1], "0.25 to 4"),
        (NUMBER, 10**400, "0.25 to 4"),
        (WHOLE, "2.5", "whole number from 1 to 10"),
        (FLAG, "maybe", "true or false"),
        (CHOICE, "xml", "json, text"),
        (CHOICES, "c", "a, b"),
        (NAME, {"name": "nova"}, '"id"'),
        (NAME, None, "missing"),
        (NAME, " ", "missing"),
    ],
)
def test_a_wrong_value_is_refused_by_name_with_what_is_accepted(field, written, accepted):
    with pytest.raises(InvalidRequest) as refusal:
        field.read({field.name: written})
    assert refusal.value.param == field.name
    assert accepted in refusal.value.message


def test_a_choice_of_formats_is_refused_with_its_own_error():
    with pytest.raises(UnsupportedFormat):
        CHOICE.read({"format": "xml"})


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (MultiDict([("kinds[]", "b"), ("kinds[]", "a")]), ["a", "b"]),
        (MultiDict([("kinds", "b")]), ["b"]),
        ({"kinds[]": ["b", "b"]}, ["b"]),
        ({"kinds": "b"}, ["b"]),
        ({}, ["a"]),
    ],
)
def test_a_repeated_field_is_read_with_and_without_brackets(given, found):
    assert CHOICES.read(given) == found


def test_a_table_leaves_out_files_and_what_is_ignored():
    table = (Recording("file", "a file", required=True), Field("include[]"), FLAG)
    assert params.read(table, {"include[]": "x"}) == {"stream": False}


@pytest.mark.parametrize(
    ("field", "schema"),
    [
        (TEXT, {"type": "string", "maxLength": 5, "description": "a prompt"}),
        (
            NUMBER,
            {"type": "number", "minimum": 0.25, "maximum": 4, "default": 1.0, "description": "how fast"},
        ),
        (WHOLE, {"type": "integer", "minimum": 1, "maximum": 10, "description": "how many"}),
        (FLAG, {"type": "boolean", "default": False, "description": "events"}),
        (CHOICE, {"type": "string", "enum": ["json", "text"], "default": "json", "description": "which"}),
    ],
)
def test_the_schema_says_what_is_read(field, schema):
    assert field.schema() == schema

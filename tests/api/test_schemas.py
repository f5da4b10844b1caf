"""The own check of requests agrees with JSON Schema, and says what is wrong in words."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from api import schemas
from api.schemas import Json, why_not

BODY = schemas.body(
    needed=("name",),
    name=schemas.NAME,
    for_s={"type": "integer", "minimum": 0, "maximum": 10},
    timeout_s=schemas.nullable({"type": "number", "minimum": 0}),
    is_all=schemas.TRUTH,
)
WRONG: list[tuple[Any, str]] = [
    ([], "must be an object"),
    ({}, "must have name"),
    ({"name": "a", "nam": 1}, "must not have 'nam'"),
    ({"name": ""}, "has name, which must have 1 to 256 characters"),
    ({"name": 3}, "has name, which must be text"),
    ({"name": None}, "has name, which must not be null"),
    ({"name": "a", "for_s": 11}, "has for_s, which must be between 0 and 10"),
    ({"name": "a", "for_s": 1.5}, "has for_s, which must be a whole number"),
    ({"name": "a", "for_s": True}, "has for_s, which must be a number"),
    ({"name": "a", "for_s": "1"}, "has for_s, which must be a number"),
    ({"name": "a", "timeout_s": -1}, "has timeout_s, which must be between 0 and None"),
    ({"name": "a", "is_all": 1}, "has is_all, which must be true or false"),
]
GOOD: list[Any] = [
    {"name": "a"},
    {"name": "a", "for_s": 0, "timeout_s": None, "is_all": True},
    {"name": "a" * 256, "for_s": 10.0, "timeout_s": 1.5},
]


@pytest.mark.parametrize(("value", "words"), WRONG)
def test_what_is_wrong_is_said_in_words(value: Any, words: str) -> None:
    assert why_not(value, BODY) == words
    assert not Draft202012Validator(BODY).is_valid(value)


@pytest.mark.parametrize("value", GOOD)
def test_what_is_good_is_taken(value: Any) -> None:
    assert why_not(value, BODY) == ""
    assert Draft202012Validator(BODY).is_valid(value)


def test_words_of_a_closed_set_and_of_a_pattern() -> None:
    assert why_not("c", {"type": "string", "enum": ["a", "b"]}) == "must be one of a, b"
    assert why_not("c", {"type": "string", "pattern": "^[ab]$"}) == "must match ^[ab]$"


PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(-20, 20), st.floats(-20, 20), st.text(max_size=3)
)


@given(
    st.dictionaries(st.sampled_from(["name", "for_s", "timeout_s", "is_all", "x"]), PLAIN)
    | PLAIN
    | st.lists(PLAIN, max_size=2)
)
def test_it_takes_just_what_json_schema_takes(value: Any) -> None:
    assert (why_not(value, BODY) == "") == Draft202012Validator(BODY).is_valid(value)


@pytest.mark.parametrize(
    "schema",
    [schemas.STREAM, schemas.STATUS, schemas.DEVICE, schemas.listing("bans", schemas.BAN), BODY],
)
def test_each_form_is_json_schema(schema: Json) -> None:
    Draft202012Validator.check_schema(schema)

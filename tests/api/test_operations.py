"""The table of what can be asked, and what is said of wrong parameters."""

import re

import pytest

from api.access import Access
from api.operations import OPERATIONS, PREFIX, ApiError, Operation, read_path, read_query

BY_NAME = {operation.name: operation for operation in OPERATIONS}


def test_each_has_a_name_and_a_place_of_its_own() -> None:
    assert len(BY_NAME) == len(OPERATIONS)
    assert len({(o.method, o.path) for o in OPERATIONS}) == len(OPERATIONS)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: o.name)
def test_what_changes_anything_is_no_get_and_needs_a_token(operation: Operation) -> None:
    assert (operation.access is Access.CHANGE) == (operation.method != "GET")


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: o.name)
def test_the_path_names_its_parameters(operation: Operation) -> None:
    named = re.findall(r"\{(\w+)\}", operation.path)
    assert named == [parameter.name for parameter in operation.in_path]


def test_nothing_of_the_farm_is_open() -> None:
    found = {o.path for o in OPERATIONS if o.access is Access.OPEN}
    assert {"/healthz", "/readyz"} <= found
    assert not [p for p in found if p.startswith(PREFIX) and not p.endswith("/openapi.json")]


def test_a_query_that_is_as_it_should_be_is_taken() -> None:
    assert read_query(BY_NAME["streams"], {"app": ["live"]}) == {"app": "live"}
    assert read_query(BY_NAME["streams"], {}) == {}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"ap": ["live"]}, "there is no parameter 'ap' here"),
        ({"app": ["live", "tv"]}, "app is there twice"),
        ({"app": [""]}, "app must have 1 to 256 characters"),
        ({"app": ["x" * 257]}, "app must have 1 to 256 characters"),
    ],
)
def test_another_query_is_refused_in_words(given: dict[str, list[str]], words: str) -> None:
    with pytest.raises(ApiError, match=words) as caught:
        read_query(BY_NAME["streams"], given)
    assert caught.value.status == 400


def test_a_path_that_is_too_long_is_refused() -> None:
    assert read_path(BY_NAME["stream"], {"app": "live", "key": "a"}) == {"app": "live", "key": "a"}
    with pytest.raises(ApiError, match="key must have 1 to 256 characters"):
        read_path(BY_NAME["stream"], {"app": "live", "key": "x" * 300})


def test_an_error_has_a_word_for_programs_and_words_for_people() -> None:
    assert ApiError(404, "no-such-stream", "there is no stream a/b").document() == {
        "error": "no-such-stream",
        "message": "there is no stream a/b",
    }

"""Addresses of streams: what their parts may hold, and their queries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.access.stream_address import (
    MAX_PART_CHARS,
    MAX_QUERY_FIELDS,
    problem_of,
    query_fields,
)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (("live", "cam1"), ""),
        (("live", "cam1", "720p"), ""),
        (("live", "a.b_c~d-e+f@g=h,i!"), ""),
        (("", "cam1"), "the app may hold only"),
        (("live", ".."), "the stream key may hold only"),
        (("live", "cam 1"), "the stream key may hold only"),
        (("live", "cam", "a/b"), "the rendition may hold only"),
        (("live", "cam", "a\n"), "the rendition may hold only"),
        (("live", "k" * (MAX_PART_CHARS + 1)), "the stream key is longer than 128"),
    ],
)
def test_what_a_part_may_hold(parts: tuple[str, ...], words: str) -> None:
    found = problem_of(parts)
    assert found.startswith(words)
    assert bool(found) == bool(words)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", {}),
        ("key=a&token=b%3Dc", {"key": "a", "token": "b=c"}),
        ("key=a+b&key=c", {"key": "c"}),
        ("=a&flag", {"flag": ""}),
    ],
)
def test_a_query_is_split_then_decoded_once(text: str, fields: dict[str, str]) -> None:
    assert query_fields(text) == fields


@given(st.text(max_size=2000))
def test_any_text_is_a_query_of_bounded_size(text: str) -> None:
    assert len(query_fields(text + "&a=b" * 100)) <= MAX_QUERY_FIELDS

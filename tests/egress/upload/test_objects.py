"""egress/upload/objects.py: names of objects, and the parts that files are sent in."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress.upload.objects import MEMORY_BYTES, PART_BYTES, at_once, object_name, part_bytes


@pytest.mark.parametrize("prefix", ["", "farm1/", "farm1-"])
def test_an_object_is_called_as_its_file_behind_the_prefix(prefix: str) -> None:
    path = Path("/r/live/a%2Fb/source/20251130T105320.000Z.mp4")
    name = object_name(prefix, "/r/", path)
    assert name == f"{prefix}live/a%2Fb/source/20251130T105320.000Z.mp4"


@given(st.integers(1, 5 << 40))
def test_parts_are_few_enough_for_s3_and_bounded_in_memory(size: int) -> None:
    part = part_bytes(size)
    assert part >= PART_BYTES
    assert -(-size // part) <= 10_000
    assert at_once(part) >= 1
    assert at_once(part) * part <= max(MEMORY_BYTES, part)

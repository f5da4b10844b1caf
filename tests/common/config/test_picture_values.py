"""Values that say what pictures are like."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from common.config.picture_values import FrameSize


@pytest.mark.parametrize("written", ["16x16", "3840x2160", "1080x1920", "16384x16384"])
def test_a_size_is_read_and_written_alike(written: str) -> None:
    kind = FrameSize()
    assert kind.write(kind.read(written)) == written
    assert Draft202012Validator(kind.schema()).is_valid(written)


@pytest.mark.parametrize(
    "written", ["4K", "3840", 3840, "3840x2160@60", "15x16", "16x16385", "", None]
)
def test_what_is_no_size_is_refused_with_an_example(written: Any) -> None:
    with pytest.raises(ValueError, match=r'such as "3840x2160"|between 16x16 and 16384x16384'):
        FrameSize().read(written)

"""Cue points out of publishers' data messages."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.flv.amf0 import EcmaArray, Value, encode
from egress.cues.cue_point import MAX_BODY_BYTES, MAX_ENTRIES, CuePoint, cue_point


def test_flash_s_cue_point_has_its_members_and_those_of_its_parameters() -> None:
    parameters = EcmaArray({"ad": "a1"})
    told: Value = {"name": "break", "time": 4.5, "type": "event", "parameters": parameters}
    entries = (("name", "break"), ("time", 4.5), ("type", "event"), ("parameters-ad", "a1"))
    assert cue_point(encode("onCuePoint", told), 7000) == CuePoint(7000, entries)


@pytest.mark.parametrize(
    ("told", "duration_s"),
    [(30.0, 30.0), (0.0, 0.0), (-1.0, None), (float("nan"), None), (True, None), ("30", None)],
)
def test_youtube_s_cue_point_says_how_long_the_break_lasts(
    told: float | str, duration_s: float | None
) -> None:
    cue = cue_point(encode("onCuePoint", {"break_duration_sec": told}), 0)
    assert cue is not None
    assert cue.duration_s == duration_s


@pytest.mark.parametrize(
    "body",
    [
        b"",
        encode("onMetaData", {"name": "onCuePoint"}),
        encode("onCuePoint", {"name": "a"})[:-4],
        encode("onCuePoint", {"name": "a" * MAX_BODY_BYTES}),
        b"onCuePoint",
    ],
)
def test_other_messages_and_broken_ones_are_no_cue_point(body: bytes) -> None:
    assert cue_point(body, 0) is None


def test_members_are_bounded() -> None:
    cue = cue_point(encode("onCuePoint", {f"a{n}": 1.0 for n in range(100)}), 0)
    assert cue is not None
    assert len(cue.entries) == MAX_ENTRIES


@settings(max_examples=100)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_without_an_error(data: bytes) -> None:
    cue_point(encode("onCuePoint") + data, 0)

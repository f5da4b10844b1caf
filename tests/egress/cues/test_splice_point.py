"""egress/cues/splice_point.py: splices out of data messages."""

import pytest

from common.flv.ad_cue import encode
from common.flv.amf0 import encode as amf
from common.scte35.section import Splice, parse
from egress.cues.splice_point import splice_point
from tests.kit.scte35_writer import INSERTION, NULL, insertion, section


def message(data: bytes, pre_roll_ms: int = 2_500) -> bytes:
    return encode(data, parse(data), 0, pre_roll_ms)


def test_its_time_is_counted_from_the_message() -> None:
    found = splice_point(message(INSERTION), 10_000)
    assert found is not None
    assert (found.at_ms, found.section) == (12_500, INSERTION)
    assert found.duration_s == pytest.approx(60.29, abs=0.01)
    back = splice_point(message(insertion(7, 5, is_out=0, duration=5)), 10_000)
    assert back is not None
    assert back.duration_s is None


@pytest.mark.parametrize(
    ("members", "at_ms"), [({"time": 11.0}, 11_000), ({}, 10_000), ({"time": 1e9}, 10_000)]
)
def test_of_another_sender_the_time_is_taken(members: dict[str, float], at_ms: int) -> None:
    body = amf("onAdCue", {"type": "scte35", "cue": "/DARAAAAAAAAAP/wAAAAAHpPv/8=", **members})
    assert splice_point(body, 10_000) is None, "which is nothing but a sign of life"
    cue = "/DAlAAAAAAAAAP/wFAVDE1agf+//yBysA/4APcxQAAAAAAAAXhEvvQ=="
    found = splice_point(amf("onAdCue", {"type": "scte35", "cue": cue, **members}), 10_000)
    assert found is not None
    assert found.at_ms == at_ms


@pytest.mark.parametrize("data", [NULL, section(5, b"", is_encrypted=True), INSERTION[:-1] + b"x"])
def test_what_says_nothing_or_cannot_be_read_is_none(data: bytes) -> None:
    assert splice_point(encode(data, Splice(0), 0, 0), 10_000) is None

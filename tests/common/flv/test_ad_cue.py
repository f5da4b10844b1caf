"""common/flv/ad_cue.py: SCTE-35 as a data message."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.flv.ad_cue import AdCue, encode, moved, read
from common.flv.amf0 import decode_all
from common.flv.amf0 import encode as amf
from common.scte35.section import parse
from tests.kit.scte35_writer import INSERTION

CUE = base64.b64encode(INSERTION).decode()


def test_a_section_is_written_as_primetime_has_it_and_read_again() -> None:
    body = encode(INSERTION, parse(INSERTION), 5_000, 4_000)
    name, members = decode_all(body)
    assert name == "onAdCue"
    assert members == {
        "type": "scte35",
        "cue": CUE,
        "id": "1207959695",
        "duration": pytest.approx(60.293567, abs=1e-6),
        "time": 9.0,
        "pre_roll_time_sec": 4.0,
    }
    assert read(body) == AdCue(INSERTION, 9.0, 4.0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        amf("onCuePoint", {"type": "scte35", "cue": CUE}),
        amf("onAdCue"),
        amf("onAdCue", {"type": "SpliceOut", "id": "1", "time": 5.0}),
        amf("onAdCue", {"type": "scte35", "cue": "?"}),
        amf("onAdCue", {"type": "scte35", "cue": 5.0}),
        amf("onAdCue", {"type": "scte35", "cue": CUE})[:-4],
    ],
)
def test_other_messages_have_none_and_are_not_moved(body: bytes) -> None:
    assert read(body) is None
    assert moved(body, 0, 1000) == body


@given(st.integers(0, 1 << 32), st.integers(0, 1 << 40), st.integers(-60_000, 60_000))
def test_a_moved_message_keeps_how_far_its_splice_is(stamp: int, to: int, pre_roll: int) -> None:
    body = encode(INSERTION, parse(INSERTION), stamp, pre_roll)
    found = read(moved(body, stamp, to))
    assert found is not None
    assert found.pre_roll_s == pytest.approx(pre_roll / 1000)
    assert found.time_s == pytest.approx((to + pre_roll) / 1000)


def test_another_encoder_s_message_is_told_its_way_from_itself() -> None:
    body = amf("onAdCue", {"type": "urn:scte:scte35:2013:bin", "cue": CUE, "time": 12.5, "x": "y"})
    found = moved(body, 10_000, 500_000)
    assert read(found) == AdCue(INSERTION, 502.5, 2.5)
    assert decode_all(found)[1]["x"] == "y"  # type: ignore[index, call-overload]
    far = amf("onAdCue", {"type": "scte35", "cue": CUE, "time": 1e11})
    assert read(moved(far, 10_000, 500_000)) == AdCue(INSERTION, 500.0, 0.0)

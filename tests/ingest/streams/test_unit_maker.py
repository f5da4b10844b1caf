"""ingest/streams/unit_maker.py: times and keyframe flags of pictures of any codec."""

from fractions import Fraction

import pytest

from common.codecs.h264_access_units import MessageFacts
from common.media.units import VideoCodec, VideoUnit
from ingest.streams.clock.source_times import SourceTimes
from ingest.streams.clock.timeline import Timeline
from ingest.streams.unit_maker import UnitMaker


def maker(fps: Fraction | None = None) -> UnitMaker:
    made = UnitMaker(VideoCodec.AV1, SourceTimes(Timeline()))
    made.declare_rate(fps)
    return made


def unit(
    made: UnitMaker,
    timestamp: int = 40,
    composition_ms: int = 0,
    *,
    begins: bool = False,
    is_claimed: bool = False,
) -> VideoUnit:
    facts = MessageFacts(timestamp, composition_ms, is_claimed, 100 + timestamp / 1000)
    return made.unit(b"data", facts, is_random_access=begins, is_claimed=is_claimed)


def test_a_unit_is_of_the_codec_and_of_its_messages_time() -> None:
    found = unit(maker(), 40, 80, begins=True)
    assert (found.codec, found.dts_ms, found.pts_ms) == (VideoCodec.AV1, 40, 120)
    assert (found.is_key, found.is_random_access, found.data) == (True, True, b"data")
    assert found.received_s == 100.04


@pytest.mark.parametrize(
    ("fps", "composition_ms", "kept"),
    [
        (None, 9_000, True),
        (None, 10_001, False),
        (None, -16_000, False),
        (Fraction(25), 2_600, True),
        (Fraction(25), 2_700, False),
    ],
)
def test_a_composition_time_that_cannot_be_is_taken_as_0(
    fps: Fraction | None, composition_ms: int, kept: bool
) -> None:
    found = unit(maker(fps), 40, composition_ms)
    assert found.composition_ms == (composition_ms if kept else 0)


def test_the_headers_rate_goes_before_the_declared_one() -> None:
    made = maker(Fraction(25))
    made.configure(Fraction(1))
    assert unit(made, 40, 9_000).composition_ms == 9_000
    made.configure(None)
    assert unit(made, 80, 9_000).composition_ms == 0


def test_a_claim_is_believed_unless_the_picture_before_made_it_too() -> None:
    made = maker()
    claims = [True, True, False, True, True]
    keys = [unit(made, 40 * index, is_claimed=claim).is_key for index, claim in enumerate(claims)]
    assert keys == [True, False, False, True, False]
    assert unit(made, 400, begins=True, is_claimed=True).is_key

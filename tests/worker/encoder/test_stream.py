"""One stream's renditions in an encoder process."""

import queue
import time
from dataclasses import replace
from fractions import Fraction

import pytest

from common.codecs.h264 import parse_sps, split_avcc
from common.config.ladder import RenditionFormat
from common.flv.video import parse_video
from common.ipc.encoder_messages import (
    EncodedRendition,
    EncoderOpen,
    EncoderPictures,
    ScaledPicture,
)
from common.ipc.identity import Generation, StreamId
from tests.kit.h264_bits import PLAIN_SPS
from worker.devices.turns import Turns
from worker.encoder.stream import (
    EncodingContext,
    PictureEvent,
    RenditionRested,
    StreamEncoders,
    StreamEvent,
)
from worker.pool.layout import PoolLayout, lay_out
from worker.pool.memory import MappedPool, PicturePool
from worker.session.events import RenditionBegan, RenditionCoded
from worker.threads import OwnThreads

STREAM, GENERATION = StreamId("live/a"), Generation(3)
SIZES = [(320, 180), (160, 90)]
SPS = parse_sps(PLAIN_SPS)


class Rig:
    """A stream's encoders, its pool, and what they post."""

    def __init__(self, *, is_saturated: bool = False, queue_ms: int = 1000) -> None:
        self.is_saturated = is_saturated
        self.events: queue.SimpleQueue[StreamEvent | None] = queue.SimpleQueue()
        self.layout: PoolLayout = lay_out(SIZES)
        self.pool = PicturePool("a", self.layout)
        self.threads = OwnThreads(groups_small_encoders=True)
        context = EncodingContext(
            self.threads,
            Turns(4),
            1,
            lambda encoders, event: self.events.put(event),
        )
        formats = [
            RenditionFormat(
                f"{height}p",
                width,
                height,
                0,
                0,
                width,
                height,
                None,
                300_000,
                1000,
                2000,
                "main",
                "p1",
            )
            for width, height in SIZES
        ]
        renditions = tuple(
            EncodedRendition(one, Fraction(30), 0, places.pitch, places.offset)
            for one, places in zip(formats, self.layout.renditions, strict=True)
        )
        self.message = EncoderOpen(
            STREAM, GENERATION, 1, "a", self.layout.pictures, queue_ms, SPS, renditions
        )
        self.encoders = StreamEncoders(self.message, MappedPool(self.pool.fd), context)

    def put(
        self, number: int, *pictures: ScaledPicture, is_key: bool = False, age_s: float = 0.0
    ) -> None:
        for picture in pictures:
            luma, chroma = self.pool.picture(picture.rendition, picture.slot)
            luma[:] = 16 + 9 * number % 200
            chroma[:] = 128
        now_s = time.monotonic()
        message = EncoderPictures(
            STREAM,
            GENERATION,
            1,
            33 * number,
            is_key,
            False,
            now_s - age_s,
            now_s,
            pictures,
            self.is_saturated,
        )
        self.encoders.put(message, [b""] * len(pictures))

    def take(self, count: int) -> list[PictureEvent]:
        events = [self.events.get(timeout=10) for _ in range(count)]
        return [event for event in events if isinstance(event, PictureEvent)]

    def close(self) -> None:
        self.encoders.close()
        while self.events.get(timeout=10) is not None:
            pass
        self.encoders.release()
        self.threads.close()


def is_idr(body: bytes) -> bool:
    """By its slices, whatever the tag says."""
    kinds = {unit[0] & 0x1F for unit in split_avcc(parse_video(body).data)}
    return 5 in kinds


def both(slot: int) -> tuple[ScaledPicture, ScaledPicture]:
    return ScaledPicture(0, slot), ScaledPicture(1, slot)


def test_renditions_share_a_thread_only_while_every_core_of_the_host_has_a_stream() -> None:
    rig = Rig()
    for number, (is_saturated, threads) in enumerate([(False, 2), (True, 1), (False, 2)]):
        rig.is_saturated = is_saturated
        rig.put(number, *both(number), is_key=number == 0)
        rig.take(2)
        assert len(set(map(id, rig.encoders._thread_of))) == threads
    rig.close()


@pytest.mark.parametrize("is_saturated", [False, True])
def test_each_rendition_gives_its_tags_in_order_behind_its_headers(is_saturated: bool) -> None:
    rig = Rig(is_saturated=is_saturated)
    for number in range(8):
        rig.put(number, *both(number), is_key=number in (0, 5))
    events = rig.take(16)
    for rendition in (0, 1):
        own = [event for event in events if event.rendition == rendition]
        assert [event.slot for event in own] == list(range(8))
        assert isinstance(own[0].results[0], RenditionBegan)
        coded = [one for event in own for one in event.results if isinstance(one, RenditionCoded)]
        assert [one.tag.pts_ms for one in coded] == [33 * number for number in range(8)]
        assert [one.tag.is_key for one in coded] == [number in (0, 5) for number in range(8)]
        assert all(is_idr(one.tag.body) == one.tag.is_key for one in coded)
        assert all(event.encode_s > 0 for event in own)
        assert not any(event.lost for event in own)
    rig.close()


def test_another_rate_opens_the_encoder_anew_and_a_return_says_what_it_is() -> None:
    rig = Rig()
    rig.put(0, ScaledPicture(0, 0), is_key=True)
    rig.put(1, ScaledPicture(0, 1, 25, 1), is_key=True)
    rig.put(2, ScaledPicture(0, 2, begins=True), is_key=True)
    rig.put(3, ScaledPicture(0, 3))
    began = [
        [one.video.fps for one in event.results if isinstance(one, RenditionBegan)]
        for event in rig.take(4)
    ]
    assert began == [[30], [25], [25], []]
    rig.close()


def results_of(event: StreamEvent | None) -> list[type]:
    assert isinstance(event, PictureEvent)
    return [type(one) for one in event.results]


def test_a_rendition_that_rests_begins_with_a_keyframe_of_its_own() -> None:
    rig = Rig()
    rig.encoders.rest(1)  # before its first picture: egress hears what it will be
    rested = rig.events.get(timeout=10)
    assert isinstance(rested, RenditionRested)
    assert rested.rendition == 1
    assert rested.began is not None
    rig.put(0, ScaledPicture(0, 0), is_key=True)
    rig.put(1, ScaledPicture(0, 1))
    rig.take(2)
    rig.put(2, ScaledPicture(0, 2), ScaledPicture(1, 0, 30, 1))
    small, big = sorted(rig.take(2), key=lambda event: -event.rendition)
    assert [type(one) for one in small.results] == [RenditionBegan, RenditionCoded]
    assert small.results[-1].tag.is_key  # type: ignore[union-attr]
    assert not big.results[-1].tag.is_key  # type: ignore[union-attr]
    rig.encoders.rest(1)
    assert rig.events.get(timeout=10) == RenditionRested(1)
    rig.close()


def test_what_woke_a_rendition_may_be_lost_on_its_way() -> None:
    """The stream's next keyframe opens its encoder then."""
    rig = Rig()
    rig.encoders.rest(0)
    rig.events.get(timeout=10)
    rig.put(1, ScaledPicture(0, 1))
    rig.put(2, ScaledPicture(0, 2), is_key=True)
    rig.put(3, ScaledPicture(0, 3))
    found = [results_of(rig.events.get(timeout=10)) for _ in range(3)]
    assert found == [[], [RenditionBegan, RenditionCoded], [RenditionCoded]]
    rig.close()


def test_a_picture_that_waited_too_long_is_dropped_for_those_behind_it() -> None:
    rig = Rig(queue_ms=100)
    time.sleep(0.15)  # beyond what its own opening may cost
    rig.put(0, ScaledPicture(0, 0), is_key=True)
    for number in range(1, 6):
        rig.put(number, ScaledPicture(0, number), age_s=1.0)
    events = rig.take(6)
    assert [event.slot for event in events] == list(range(6)), "every place comes back"
    sent = [bool(event.results) for event in events]
    assert sent[0], "a keyframe is never dropped"
    assert sent[-1], "nothing waits behind the last"
    assert not all(sent[1:-1])
    rig.close()


def test_an_encoder_that_does_not_open_loses_its_rendition_once_up_to_a_keyframe() -> None:
    rig = Rig()
    bad = rig.encoders.renditions[1]
    bad.given = replace(bad.given, format=replace(bad.given.format, profile="none such"))
    for number in range(3):
        rig.put(number, *both(number), is_key=number == 0)
    rig.put(3, *both(3), is_key=True)
    events = [event for event in rig.take(8) if event.rendition == 1]
    assert [bool(event.lost) for event in events] == [True, False, False, True]
    assert "libx264 does not open" in events[0].lost
    assert not any(event.results for event in events)
    rig.close()


def test_what_is_dropped_is_not_encoded_and_comes_back() -> None:
    rig = Rig()
    rig.encoders.close(drop=True)
    rig.put(0, ScaledPicture(0, 0), is_key=True)
    assert rig.events.get(timeout=10) is None
    assert rig.encoders.stalled_s(1.0) == 0.0
    rig.encoders.release()
    rig.threads.close()


@pytest.mark.parametrize(
    ("picture", "is_there"),
    [
        (ScaledPicture(0, 0), True),
        (ScaledPicture(1, 7), True),
        (ScaledPicture(2, 0), False),
        (ScaledPicture(-1, 0), False),
        (ScaledPicture(0, 8), False),
        (ScaledPicture(0, -1), False),
    ],
)
def test_a_place_that_is_not_there_is_known(picture: ScaledPicture, is_there: bool) -> None:
    rig = Rig()
    assert rig.encoders.can_take(picture) is is_there
    rig.close()

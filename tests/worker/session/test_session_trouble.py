"""Sessions whose units are damaged or whose device fails: what it costs, and how it is told."""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from common.codecs.table import CodecConfig
from common.config.ladder import Ladder, RenditionFormat
from common.errors import DecodeFailed, DeviceLost, EncodeFailed, EncoderLimitReached
from common.media.pictures import PictureFormat
from common.media.units import VideoCodec
from tests.kit.session_driver import (
    DEADLINE_S,
    Driver,
    Source,
    SourceSpec,
    check,
    make_source,
    template,
)
from tests.kit.thread_time import ThreadTime, WatchedThreads
from tests.kit.waiting import until
from worker.devices.backend import EncodedUnit, Encoder, Picture, Surface
from worker.devices.software.device import SoftBackend
from worker.devices.software.scale import SoftScaler
from worker.session.encoder_limit import NEAR_S
from worker.session.events import DeviceGone, EncoderLimitHit, Ended, Event


def test_parameter_sets_that_cannot_be_read_change_nothing() -> None:
    source = make_source(SourceSpec(frames=20))
    with Driver(source, template()) as driver:
        driver.session.put_header(b"\x01garbage", VideoCodec.H264)
        driver.session.put_header(source.record, VideoCodec.H264)
        driver.feed(source)
        outputs = driver.finish()
        assert driver.session.status(1.0).decode_errors == 1
    check(outputs["big"], (320, 180))
    assert outputs["big"].keys_ms == [0]


def test_a_source_that_changes_all_the_time_is_not_logged_each_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one, other = (make_source(SourceSpec(frames=1, width=width)) for width in (320, 240))
    caplog.set_level(logging.INFO, "tfarm.worker.session.decode_stage")
    with Driver(one, template()) as driver:
        for _ in range(50):
            driver.session.put_header(other.record, VideoCodec.H264)
            driver.session.put_header(one.record, VideoCodec.H264)
        driver.finish()
    assert 3 <= sum("source changed" in line for line in caplog.messages) < 10


def corrupted(source: Source, first: int, last: int) -> Source:
    """One byte in ten of some units is something else."""
    rng = np.random.default_rng(5)
    units = list(source.units)
    for index in range(first, last):
        data = bytearray(units[index].data)
        for at in rng.integers(4, len(data), max(1, len(data) // 10)):
            data[at] ^= int(rng.integers(1, 256))
        units[index] = replace(units[index], data=bytes(data))
    return replace(source, units=tuple(units))


def test_corrupt_units_cost_their_own_gop_at_most() -> None:
    spec = SourceSpec(frames=90, gop_frames=30)
    source = corrupted(make_source(spec), 40, 45)
    with Driver(source, template()) as driver:
        driver.feed(source)
        outputs = driver.finish()
        status = driver.session.status(1.0)
    check(outputs["big"], (320, 180))
    shown = set(outputs["big"].pts_ms)
    assert shown >= set(source.pts_ms[:40]) | set(source.pts_ms[60:])
    assert not shown & set(source.pts_ms[45:60])
    assert status.decode_errors >= 1
    assert status.dropped >= 14


def test_a_stream_that_is_corrupt_throughout_neither_ends_nor_freezes_the_session() -> None:
    source = make_source(SourceSpec(frames=150, gop_frames=30))
    broken = corrupted(source, 1, 150)
    with Driver(source, template()) as driver:
        driver.feed(broken)
        outputs = driver.finish()
        assert driver.ended == Ended("done", trouble=False)
        status = driver.session.status(1.0)
    assert status.frames_in == 150
    assert status.decode_errors > 10
    assert len(outputs["big"].tags) > 1
    outputs["big"].decode()


@pytest.mark.parametrize("lost", [5, 35])
def test_units_lost_on_the_way_hide_what_refers_to_them(lost: int) -> None:
    source = make_source(SourceSpec(frames=90, gop_frames=30))
    with Driver(source, template()) as driver:
        driver.feed(source, skip=[lost])
        outputs = driver.finish()
    next_key = (lost // 30 + 1) * 30
    assert outputs["big"].pts_ms == source.pts_ms[:lost] + source.pts_ms[next_key:]
    check(outputs["big"], (320, 180))


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"", "bytes"),
        (b"\x01\x4d\x00\x1f\xff\xe0\x00", "SPS"),
        (b"\x01\x4d\x00\x1f\xff\xe1\x00\x02\x67\x4d\x00", ""),
    ],
)
def test_a_stream_that_cannot_be_served_says_why(record: bytes, reason: str) -> None:
    with Driver(Source(record, ()), template()) as driver:
        driver.run()
        assert driver.ended is not None
        assert driver.ended.trouble
        assert reason in driver.ended.reason


def test_a_template_without_renditions_is_trouble() -> None:
    with Driver(make_source(SourceSpec(frames=1)), template([])) as driver:
        driver.run()
        assert driver.ended is not None
        assert driver.ended.trouble


class FailingEncoder:
    """Encodes until `fails_at` pictures came, then raises, or waits for a signal."""

    def __init__(self, encoder: Encoder, fails_at: int, error: Exception) -> None:
        self._encoder = encoder
        self._left = fails_at
        self._error = error

    @property
    def config(self) -> CodecConfig:
        return self._encoder.config

    def encode(self, surface: Surface, *, force_idr: bool) -> Sequence[EncodedUnit]:
        self._left -= 1
        if self._left < 0:
            raise self._error
        return self._encoder.encode(surface, force_idr=force_idr)

    def flush(self) -> Sequence[EncodedUnit]:
        return self._encoder.flush()

    def close(self) -> None:
        self._encoder.close()


class FailingBackend(SoftBackend):
    """Some renditions' encoders fail."""

    def __init__(self, fails_at: dict[str, int], error: Exception) -> None:
        super().__init__("cpu:0")
        self._fails_at = fails_at
        self._error = error

    def open_encoder(
        self, rendition: RenditionFormat, pictures: PictureFormat, fps: Fraction
    ) -> Any:
        encoder = super().open_encoder(rendition, pictures, fps)
        return FailingEncoder(encoder, self._fails_at.get(rendition.name, 10**9), self._error)


def test_a_rendition_that_fails_ends_alone_and_status_says_why() -> None:
    source = make_source(SourceSpec(frames=60))
    backend = FailingBackend({"small": 5}, EncodeFailed("no more sessions"))
    with Driver(source, template(), backend=backend) as driver:
        driver.feed(source)
        deadline_s = time.monotonic() + DEADLINE_S
        while driver.session.status(1.0).frames_out < 60 and time.monotonic() < deadline_s:
            time.sleep(0.01)
        status = driver.session.status(1.0)
        outputs = driver.finish()
    assert outputs["big"].pts_ms == source.pts_ms
    assert len(outputs["small"].tags) == 5
    assert [(entry.name, entry.reason) for entry in status.omitted] == [
        ("small", "no more sessions")
    ]


class FlakyBackend(SoftBackend):
    """The small rendition's encoder fails at its 6th picture, then `refusals` openings."""

    def __init__(self, refusals: int, refusal: Exception) -> None:
        super().__init__("cpu:0")
        self.opened = 0
        self._refusals = refusals
        self._refusal = refusal

    def open_encoder(
        self, rendition: RenditionFormat, pictures: PictureFormat, fps: Fraction
    ) -> Any:
        if rendition.name != "small":
            return super().open_encoder(rendition, pictures, fps)
        self.opened += 1
        if 1 < self.opened <= 1 + self._refusals:
            raise self._refusal
        encoder = super().open_encoder(rendition, pictures, fps)
        fails_at = 5 if self.opened == 1 else 10**9
        return FailingEncoder(encoder, fails_at, EncodeFailed("it hangs up"))


@pytest.mark.parametrize(("refusals", "again_ms"), [(0, 2000), (1, 4000)])
def test_a_rendition_that_failed_is_tried_again_at_a_later_keyframe(
    refusals: int, again_ms: int
) -> None:
    source = make_source(SourceSpec(frames=180))
    backend = FlakyBackend(refusals, EncodeFailed("not now"))
    with Driver(source, template(), backend=backend) as driver:
        driver.feed(source)
        outputs = driver.finish()
    assert outputs["big"].pts_ms == source.pts_ms
    small = outputs["small"]
    assert small.pts_ms[:5] == source.pts_ms[:10:2]
    assert small.pts_ms[5] == small.keys_ms[1] == again_ms
    assert small.keys_ms[1:] == [ms for ms in outputs["big"].keys_ms if ms >= again_ms]
    assert len(small.headers) == 2  # the encoder is another one
    small.decode()
    assert backend.opened == 2 + refusals


CAP = EncoderLimitReached("small: the driver's cap", 1)


class BusyBackend(FlakyBackend):
    """Opens the small rendition's encoder anew only once `goes_on` is set."""

    def __init__(self, refusals: int, refusal: Exception) -> None:
        super().__init__(refusals, refusal)
        self.goes_on = threading.Event()

    def open_encoder(
        self, rendition: RenditionFormat, pictures: PictureFormat, fps: Fraction
    ) -> Any:
        if self.opened:
            assert self.goes_on.wait(DEADLINE_S)
        return super().open_encoder(rendition, pictures, fps)


@pytest.mark.parametrize("refusal", [EncodeFailed("not now"), CAP], ids=["failed", "cap"])
def test_a_keyframe_on_its_way_during_a_try_is_no_try_before_its_time(refusal: Exception) -> None:
    """It was: the picture of 3 s was taken while that of 2 s had not failed yet."""
    source = make_source(SourceSpec(frames=110))
    backend = BusyBackend(100, refusal)
    with Driver(source, template(gop_ms=1000), backend=backend) as driver:
        driver.feed(source)
        until(lambda: driver.session.status(1.0).frames_out == 110, DEADLINE_S, "all decoded")
        backend.goes_on.set()
        driver.finish()
    assert backend.opened == 2, "the next one would be at 4 s"


def test_a_rendition_that_the_drivers_cap_keeps_out_waits_in_quiet_until_there_may_be_room(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = make_source(SourceSpec(frames=360))
    backend = FlakyBackend(100, CAP)
    threads = WatchedThreads()
    clock = ThreadTime(threads)
    with (
        caplog.at_level(logging.ERROR, "tfarm"),
        Driver(source, template(), backend=backend, threads=threads, clock=clock) as driver,
    ):
        driver.feed(replace(source, units=source.units[:180]))
        until(lambda: driver.session.status(1.0).frames_out == 180, DEADLINE_S, "all decoded")
        clock.run_out()
        assert backend.opened == 2, "a try at 2 s, none at 4 s"
        clock.skip(NEAR_S)
        driver.feed(replace(source, units=source.units[180:]))
        driver.session.end("done")
        told: list[Event] = []
        while not (told and isinstance(told[-1], Ended)):
            told.append(driver.events.get(timeout=DEADLINE_S))
    assert backend.opened == 1 + 2, "and one as soon as there may be room"
    met = EncoderLimitHit(1, str(CAP), is_again=True)
    assert [event for event in told if isinstance(event, EncoderLimitHit)] == [met] * 2
    assert sum("rendition lost" in line for line in caplog.messages) == 1


def test_a_session_whose_renditions_all_fail_ends_with_trouble(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = make_source(SourceSpec(frames=60))
    backend = FailingBackend({"small": 5, "big": 8}, ValueError("a bug"))
    with (
        caplog.at_level(logging.CRITICAL, "tfarm"),
        Driver(source, template(), backend=backend) as driver,
    ):
        driver.feed(source)
        driver.run()
        assert driver.ended is not None
        assert driver.ended.trouble
        assert "a bug" in driver.ended.reason


def test_a_lost_device_is_told_once_for_the_whole_process() -> None:
    source = make_source(SourceSpec(frames=60))
    backend = FailingBackend({"small": 5}, DeviceLost("fell off the bus"))
    with Driver(source, template(), backend=backend) as driver:
        driver.feed(source)
        told: list[object] = []
        while not (told and isinstance(told[-1], Ended)):
            told.append(driver.events.get(timeout=DEADLINE_S))
        gone = DeviceGone("fell off the bus")
        assert [event for event in told if isinstance(event, DeviceGone)] == [gone]
        # Other processes have contexts of their own on that GPU.
        assert told[-1] == Ended("device lost", trouble=True, is_workers_own=True)
        driver.session.on_device_lost(DeviceLost("met by a picture that waited in another thread"))
        assert driver.events.empty()


class CappedBackend(SoftBackend):
    """Has so many encoder sessions and no more."""

    def __init__(self, sessions: int) -> None:
        super().__init__("cpu:0")
        self.sessions = sessions
        self.opened = 0

    def open_encoder(
        self, rendition: RenditionFormat, pictures: PictureFormat, fps: Fraction
    ) -> Any:
        if self.opened == self.sessions:
            raise EncoderLimitReached(f"{rendition.name}: the driver's cap", self.opened)
        self.opened += 1
        return super().open_encoder(rendition, pictures, fps)


def test_a_session_cap_is_told_apart_before_the_stream_ends_by_it() -> None:
    source = make_source(SourceSpec(frames=2))
    with Driver(source, template(), backend=CappedBackend(1)) as driver:
        told = [driver.events.get(timeout=DEADLINE_S) for _ in range(2)]
    assert told == [
        EncoderLimitHit(1, "small: the driver's cap"),
        Ended("small: the driver's cap", trouble=True),
    ]


class RefusingScaler(SoftScaler):
    """Refuses the first pictures."""

    left = 3

    def scale(self, picture: Picture, wanted: Sequence[int]) -> Any:
        self.left -= 1
        if self.left >= 0:
            raise DecodeFailed("odd size")
        return super().scale(picture, wanted)


class RefusingBackend(SoftBackend):
    def open_scaler(self, ladder: Ladder, pictures: PictureFormat) -> RefusingScaler:
        return RefusingScaler(ladder, pictures)


def test_pictures_that_cannot_be_scaled_are_left_out_and_the_next_one_is_the_keyframe() -> None:
    source = make_source(SourceSpec(frames=20))
    with Driver(source, template(), backend=RefusingBackend("cpu:0")) as driver:
        driver.feed(source)
        outputs = driver.finish()
        assert driver.session.status(1.0).decode_errors == 3
    assert outputs["big"].pts_ms == source.pts_ms[3:]
    assert outputs["big"].keys_ms == outputs["small"].keys_ms == [source.pts_ms[3]]

"""Sessions that are behind, or told to make less: what they leave out and what never."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from common.config.ladder import Ladder, Pipeline
from common.media.pictures import PictureFormat
from tests.kit.session_driver import (
    DEADLINE_S,
    Driver,
    Source,
    SourceSpec,
    access_units,
    check,
    make_source,
    template,
)
from tests.kit.thread_time import ThreadTime, WatchedThreads
from tests.kit.waiting import until
from worker.devices.software.decode import SoftDecoder
from worker.devices.software.device import SoftBackend
from worker.devices.software.scale import SoftScaler
from worker.devices.source import DecoderConfig
from worker.session.events import Event, RenditionCoded
from worker.session.session import SessionState


class StuckScaler(SoftScaler):
    """Its surfaces wait for a signal before they are encoded."""

    def __init__(self, ladder: Ladder, pictures: PictureFormat, signal: threading.Event) -> None:
        super().__init__(ladder, pictures)
        self._signal = signal

    def scale(self, picture: Any, wanted: Sequence[int]) -> list[Any]:
        surfaces = super().scale(picture, wanted)
        return [StuckSurface(surface, self._signal) for surface in surfaces]


class StuckSurface:
    def __init__(self, surface: Any, signal: threading.Event) -> None:
        self._surface = surface
        self._signal = signal
        self.pts_ms: int = surface.pts_ms

    def prepare(self) -> None:
        assert self._signal.wait(DEADLINE_S)
        self._surface.prepare()

    def video_frame(self) -> Any:
        return self._surface.video_frame()


class StuckBackend(SoftBackend):
    def __init__(self, signal: threading.Event) -> None:
        super().__init__("cpu:0")
        self._signal = signal

    def open_scaler(self, ladder: Ladder, pictures: PictureFormat) -> StuckScaler:
        return StuckScaler(ladder, pictures, self._signal)


def test_a_session_that_falls_behind_drops_to_keyframes_and_recovers() -> None:
    source = make_source(SourceSpec(frames=120, gop_frames=30))
    signal = threading.Event()
    backend = StuckBackend(signal)
    # Time stands still: nothing is late, and only the queue's length counts.
    with Driver(source, template(), backend=backend, queue_ms=500, clock=lambda: 1.0) as driver:
        driver.feed(replace(source, units=source.units[:1]))
        until(lambda: driver.session.status(1.0).frames_out == 1, DEADLINE_S, "it is open")
        driver.feed(replace(source, units=source.units[1:60]), in_real_time=True)
        stuck = driver.session.status(1.0)
        assert stuck.queue_ms <= 500
        deadline_s = time.monotonic() + DEADLINE_S
        while driver.session.status(1.0).stalled_s < 1.5 and time.monotonic() < deadline_s:
            driver.session.watch(0.25)
            time.sleep(0.01)
        assert driver.session.status(1.0).stalled_s >= 1.5
        signal.set()
        for index in range(60, 120, 10):
            until(lambda: driver.session.status(1.0).queue_ms == 0, DEADLINE_S, "it has caught up")
            driver.feed(replace(source, units=source.units[index : index + 10]))
        outputs = driver.finish()
        status = driver.session.status(1.0)
    check(outputs["big"], (320, 180))
    assert status.dropped > 20
    assert status.frames_out == 120 - status.dropped
    assert outputs["big"].pts_ms[-1] == source.pts_ms[-1]


class StuckDecoder(SoftDecoder):
    """Its first picture waits for a signal."""

    signal: threading.Event

    def decode(self, data: bytes, dts_ms: int, pts_ms: int) -> list[Any]:
        assert self.signal.wait(DEADLINE_S)
        return super().decode(data, dts_ms, pts_ms)


class StuckOpening(SoftBackend):
    """A device whose decoder is stuck with its first picture."""

    def __init__(self, path: Pipeline, signal: threading.Event) -> None:
        super().__init__("cpu:0")
        self._info = replace(self._info, path=path)
        self._signal = signal

    def open_decoder(self, config: DecoderConfig, pictures: PictureFormat) -> StuckDecoder:
        decoder = StuckDecoder(config, pictures)
        decoder.signal = self._signal
        return decoder


@pytest.mark.parametrize(("path", "stalled_s"), [(Pipeline.SOFTWARE, 12.0), (Pipeline.HYBRID, 2.0)])
def test_a_driver_has_time_to_open_a_decoder_with_its_first_picture(
    path: Pipeline, stalled_s: float
) -> None:
    """Fifty streams that began at once on an H200 were taken for a worker that hangs."""
    source = make_source(SourceSpec(frames=30, gop_frames=30))
    signal = threading.Event()
    with Driver(source, template(), backend=StuckOpening(path, signal)) as driver:
        try:
            until(lambda: driver.session.state is SessionState.RUNNING, DEADLINE_S, "it is open")
            driver.feed(replace(source, units=source.units[:2]))
            driver.session.watch(1.0)  # what waits is seen
            for _ in range(12):
                driver.session.watch(1.0)
            assert driver.session.status(1.0).stalled_s == pytest.approx(stalled_s, abs=0.5)
        finally:
            signal.set()
        driver.feed(replace(source, units=source.units[2:]))
        driver.finish()


class SlowSurface:
    """Takes a while to be ready."""

    def __init__(self, surface: Any, take_time: Callable[[], None]) -> None:
        self._surface = surface
        self._take_time = take_time
        self.pts_ms: int = surface.pts_ms

    def prepare(self) -> None:
        self._take_time()
        self._surface.prepare()

    def video_frame(self) -> Any:
        return self._surface.video_frame()


class SlowScaler(SoftScaler):
    """The first rendition's surfaces take a while."""

    def __init__(
        self, ladder: Ladder, pictures: PictureFormat, take_time: Callable[[], None]
    ) -> None:
        super().__init__(ladder, pictures)
        self._take_time = take_time

    def scale(self, picture: Any, wanted: Sequence[int]) -> list[Any]:
        surfaces = super().scale(picture, wanted)
        return [
            SlowSurface(surface, self._take_time) if index == 0 else surface
            for index, surface in zip(wanted, surfaces, strict=True)
        ]


class SlowBackend(SoftBackend):
    """The first rendition takes so long for a picture."""

    def __init__(self, clock: ThreadTime, seconds: float) -> None:
        super().__init__("cpu:0")
        self._clock = clock
        self._seconds = seconds

    def open_scaler(self, ladder: Ladder, pictures: PictureFormat) -> SlowScaler:
        return SlowScaler(ladder, pictures, lambda: self._clock.sleep(self._seconds))


def feed_at_its_pace(driver: Driver, source: Source, clock: ThreadTime) -> None:
    """Put 30 units a second in, once the session is open, and let all of them be done with."""
    session = driver.session
    until(lambda: session.state is not SessionState.OPENING, DEADLINE_S, "it is open", every=0.001)
    began_s = clock()
    for index, (header, data) in enumerate(access_units(source)):
        clock.run_to(began_s + index / 30)
        session.put(replace(header, received_s=clock()), data, clock())
    session.watch(0.25)
    session.end("done")
    clock.run_out()


def test_a_rendition_that_is_behind_leaves_pictures_out_and_no_other_suffers() -> None:
    source = make_source(SourceSpec(frames=90, gop_frames=90))
    threads = WatchedThreads()
    clock = ThreadTime(threads)
    backend = SlowBackend(clock, 0.1)  # 10 pictures a second at most
    ladder = template(gop_ms=500)
    with Driver(
        source, ladder, backend=backend, queue_ms=800, threads=threads, clock=clock
    ) as driver:
        feed_at_its_pace(driver, source, clock)
        outputs = driver.run()
        status = driver.session.status(1.0)
    assert status.dropped == 0
    assert status.frames_out == 90
    assert status.dropped_by_renditions == status.renditions[0].dropped > 20
    assert status.dropped_by_renditions == 90 - len(outputs["big"].tags)
    assert outputs["big"].keys_ms == outputs["small"].keys_ms == [0, 500, 1000, 1500, 2000, 2500]
    assert len(outputs["small"].tags) >= 45
    check(outputs["big"], (320, 180))


class LagDriver(Driver):
    """Notes how old each picture but the keyframes was when it was coded."""

    def __init__(self, *arguments: Any, **fields: Any) -> None:
        self.lags_s: list[float] = []
        super().__init__(*arguments, **fields)

    def take(self, event: Event) -> None:
        if isinstance(event, RenditionCoded) and not event.tag.is_key:
            self.lags_s.append(event.coded_s - event.tag.received_s)
        super().take(event)


def test_pictures_that_would_be_older_than_the_queue_holds_go_uncoded_and_are_counted() -> None:
    source = make_source(SourceSpec(frames=120, gop_frames=120))
    threads = WatchedThreads()
    clock = ThreadTime(threads)
    backend = SlowBackend(clock, 0.25)  # with a full backlog the last one waits a second
    ladder = template(gop_ms=2000)
    with LagDriver(
        source, ladder, backend=backend, queue_ms=800, threads=threads, clock=clock
    ) as driver:
        feed_at_its_pace(driver, source, clock)
        outputs = driver.run()
        status = driver.session.status(1.0)
    assert max(driver.lags_s) < 1.1, "three quarters of 0.8 s, and twice what a picture takes"
    assert status.renditions[0].dropped == status.frames_out - len(outputs["big"].tags) > 60
    check(outputs["big"], (320, 180))


class LateBackend(SoftBackend):
    """Takes longer to open than a picture may wait, and encodes faster than real time."""

    def __init__(self, clock: ThreadTime, is_fed: threading.Event) -> None:
        super().__init__("cpu:0")
        self._clock = clock
        self._is_fed = is_fed

    def open_decoder(self, config: DecoderConfig, pictures: PictureFormat) -> SoftDecoder:
        assert self._is_fed.wait(DEADLINE_S)
        self._clock.skip(0.45)
        return super().open_decoder(config, pictures)

    def open_scaler(self, ladder: Ladder, pictures: PictureFormat) -> SlowScaler:
        return SlowScaler(ladder, pictures, lambda: self._clock.skip(0.01))


def test_pictures_that_waited_for_a_slow_opening_are_all_encoded() -> None:
    source = make_source(SourceSpec(frames=16))  # 500 ms, all of it older than 400 ms by then
    clock = ThreadTime(WatchedThreads())
    is_fed = threading.Event()
    backend = LateBackend(clock, is_fed)
    with Driver(source, template(), backend=backend, queue_ms=800, clock=clock) as driver:
        driver.feed(source)
        is_fed.set()
        outputs = driver.finish()
    assert outputs["big"].pts_ms == source.pts_ms


def test_the_top_rendition_can_be_halved_left_out_and_brought_back_at_a_keyframe() -> None:
    source = make_source(SourceSpec(frames=120, gop_frames=120))
    quarters = [replace(source, units=source.units[at : at + 30]) for at in range(0, 120, 30)]
    with Driver(source, template(gop_ms=500)) as driver:
        for quarter, degraded in zip(quarters, [(1, 0), (2, 0), (1, 1), (1, 0)], strict=True):
            driver.session.degrade(*degraded)
            decoded = driver.session.status(1.0).frames_out + 30
            driver.feed(quarter)
            deadline_s = time.monotonic() + DEADLINE_S
            while driver.session.status(1.0).frames_out < decoded:
                assert time.monotonic() < deadline_s
                time.sleep(0.005)
        outputs = driver.finish()
    big = outputs["big"]
    seconds = [[pts_ms for pts_ms in big.pts_ms if pts_ms // 1000 == n] for n in range(4)]
    assert [len(second) for second in seconds[:3]] == [30, pytest.approx(15, abs=2), 0]
    assert seconds[3][0] == 3000
    assert 3000 in big.keys_ms
    assert len(seconds[3]) == 30
    assert len(big.headers) >= 2
    assert len(outputs["small"].tags) >= 58
    big.decode()

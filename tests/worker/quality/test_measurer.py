"""The thread that measures, and the tap that it gets keyframes from."""

import logging
import queue
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from common.codecs.h264 import AvcConfig
from common.codecs.table import CodecConfig
from common.config.ladder import RenditionFormat
from common.errors import DecodeFailed
from tests.kit.ingest_ports import record
from tests.kit.waiting import patient, until
from worker.devices.backend import EncodedUnit
from worker.quality.kept_luma import HostLuma, KeptLuma
from worker.quality.measurer import MAX_WAITING, Measurer
from worker.quality.ssim import Likeness, Luma
from worker.quality.tap import QualityTap, tap_of

FORMAT = RenditionFormat(
    *("90p", 160, 90, 0, 0, 160, 90, None, 100_000, 1000, 2000, "main", "p1"),
    quality_every_ms=5_000,
)
CONFIG = AvcConfig.parse(record())
UNIT = EncodedUnit(0, True, b"coded")
LUMA = np.arange(160 * 90, dtype=np.uint8).reshape(90, 160)
ENCODES, DEADLINE_S = 0.5, patient(10.0)
SAME = Likeness(1.0, 100.0)


class Kept:
    """A surface; how often its luma was taken."""

    pts_ms = 0

    def __init__(self, luma: Luma = LUMA) -> None:
        self.luma, self.taken = luma, 0

    def prepare(self) -> None: ...

    def kept_luma(self) -> KeptLuma:
        self.taken += 1
        return HostLuma(self.luma)


class Decoder:
    """Gives the same picture each time, once it may."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.may.set()
        self.error: Exception | None = None

    def __call__(self, config: CodecConfig, unit: bytes, width: int, height: int) -> Luma:
        assert self.may.wait(DEADLINE_S)
        if self.error is not None:
            raise self.error
        return LUMA.copy()


@pytest.fixture
def decoder() -> Decoder:
    return Decoder()


@pytest.fixture
def measurer(decoder: Decoder) -> Iterator[Measurer]:
    made = Measurer(decoder)
    yield made
    decoder.may.set()
    made.close(DEADLINE_S)


@pytest.fixture
def found() -> queue.Queue[Likeness]:
    return queue.Queue()


Offer = Callable[..., None]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def tap_with(
    measurer: Measurer, found: queue.Queue[Likeness], clock: Clock | None = None
) -> QualityTap:
    return QualityTap("live/0", FORMAT, measurer, found.put, clock or Clock())


def offer(tap: QualityTap, surface: Kept, received_s: float = 0.0) -> None:
    tap.offer(surface, CONFIG, UNIT, ENCODES, received_s)


def test_a_keyframe_is_measured_and_reported(
    measurer: Measurer, found: queue.Queue[Likeness]
) -> None:
    tap, surface = tap_with(measurer, found), Kept()
    offer(tap, surface)
    assert found.get(timeout=DEADLINE_S) == SAME
    assert surface.taken == 1


def test_the_next_one_is_measured_when_it_is_due(
    measurer: Measurer, found: queue.Queue[Likeness]
) -> None:
    clock, surface = Clock(), Kept()
    tap = tap_with(measurer, found, clock)
    offer(tap, surface)
    found.get(timeout=DEADLINE_S)
    clock.now += 4.9
    offer(tap, surface)
    assert surface.taken == 1
    clock.now += 10_000
    offer(tap, surface)
    assert found.get(timeout=DEADLINE_S) == SAME


def test_a_degraded_stream_is_not_measured(
    measurer: Measurer, found: queue.Queue[Likeness]
) -> None:
    tap, surface = tap_with(measurer, found), Kept()
    tap.is_suspended = True
    offer(tap, surface)
    assert surface.taken == 0


def test_nor_is_one_that_is_behind(measurer: Measurer, found: queue.Queue[Likeness]) -> None:
    tap, surface = tap_with(measurer, found), Kept()
    offer(tap, surface, received_s=98.0)
    assert surface.taken == 0


def test_no_more_wait_than_are_allowed(
    measurer: Measurer, decoder: Decoder, found: queue.Queue[Likeness]
) -> None:
    decoder.may.clear()
    taps = [tap_with(measurer, found) for _ in range(MAX_WAITING + 1)]
    for tap in taps:
        offer(tap, Kept())
    decoder.may.set()
    for _ in range(MAX_WAITING):
        assert found.get(timeout=DEADLINE_S) == SAME
    assert found.empty()
    offer(taps[-1], Kept())  # who found no room comes again
    assert found.get(timeout=DEADLINE_S) == SAME


@pytest.mark.parametrize("is_surface", [False, True])
def test_what_fails_is_said_once_and_given_up(
    measurer: Measurer,
    decoder: Decoder,
    found: queue.Queue[Likeness],
    caplog: pytest.LogCaptureFixture,
    is_surface: bool,
) -> None:
    tap, surface = tap_with(measurer, found), Kept()
    if is_surface:
        surface.kept_luma = lambda: (_ for _ in ()).throw(ValueError("no luma"))  # type: ignore[method-assign]
    else:
        decoder.error = DecodeFailed("no luma")
    with caplog.at_level(logging.WARNING):
        offer(tap, surface)
        until(lambda: caplog.messages, what="the line")
        decoder.error = None
        offer(tap, surface)
        offer(tap_with(measurer, found), Kept())  # behind it
        assert found.get(timeout=DEADLINE_S) == SAME
    assert found.empty()
    words = "ValueError: no luma" if is_surface else "DecodeFailed: no luma"
    assert caplog.messages == [f"quality not measured stream=live/0 rendition=90p reason={words}"]


def test_a_closed_measurer_takes_nothing(measurer: Measurer, found: queue.Queue[Likeness]) -> None:
    measurer.close(DEADLINE_S)
    offer(tap_with(measurer, found), Kept())
    assert found.empty()


def test_without_measuring_there_is_no_tap_and_no_thread(measurer: Measurer) -> None:
    before = threading.active_count()
    plain = RenditionFormat("90p", 160, 90, 0, 0, 160, 90, None, 100_000, 1000, 2000, "main", "p1")
    assert tap_of("live/0", plain, measurer, lambda _: None) is None
    assert threading.active_count() == before

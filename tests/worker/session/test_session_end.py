"""Sessions that end at awkward moments."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import pytest

from common.config.ladder import Ladder, RenditionFormat
from common.media.pictures import PictureFormat
from tests.kit.session_driver import (
    DEADLINE_S,
    Driver,
    SourceSpec,
    join_all_but,
    make_source,
    template,
)
from worker.devices.backend import EncodedUnit, Encoder, Picture, Surface
from worker.devices.software.device import SoftBackend
from worker.devices.software.scale import SoftScaler
from worker.session.events import Ended
from worker.session.session import SessionState


class WatchedEncoder:
    """Tells of its flush, and remembers what it was given after that."""

    def __init__(self, encoder: Encoder, is_flushed: threading.Event) -> None:
        self._encoder = encoder
        self._is_flushed = is_flushed
        self.late = 0

    @property
    def config(self) -> Any:
        return self._encoder.config

    def encode(self, surface: Surface, *, force_idr: bool) -> Sequence[EncodedUnit]:
        self.late += self._is_flushed.is_set()
        return self._encoder.encode(surface, force_idr=force_idr)

    def flush(self) -> Sequence[EncodedUnit]:
        self._is_flushed.set()
        return self._encoder.flush()

    def close(self) -> None:
        self._encoder.close()


class InterruptedScaler(SoftScaler):
    """Something happens while it scales."""

    def __init__(self, ladder: Ladder, pictures: PictureFormat, what: Callable[[], None]) -> None:
        super().__init__(ladder, pictures)
        self._what = what

    def scale(self, picture: Picture, wanted: Sequence[int]) -> Any:
        self._what()
        return super().scale(picture, wanted)


class InterruptedBackend(SoftBackend):
    def __init__(self, what: Callable[[], None], is_flushed: threading.Event) -> None:
        super().__init__("cpu:0")
        self._what = what
        self._is_flushed = is_flushed
        self.encoders: list[WatchedEncoder] = []

    def open_scaler(self, ladder: Ladder, pictures: PictureFormat) -> InterruptedScaler:
        return InterruptedScaler(ladder, pictures, self._what)

    def open_encoder(
        self, rendition: RenditionFormat, pictures: PictureFormat, fps: Fraction
    ) -> Any:
        encoder = WatchedEncoder(super().open_encoder(rendition, pictures, fps), self._is_flushed)
        self.encoders.append(encoder)
        return encoder


def test_an_encoder_that_was_flushed_gets_no_picture_that_was_being_scaled_meanwhile() -> None:
    source = make_source(SourceSpec(frames=1))
    flushed = threading.Event()

    def abandon() -> None:
        driver.session.abandon("enough")
        assert flushed.wait(DEADLINE_S)

    backend = InterruptedBackend(abandon, flushed)
    with Driver(source, template(template().renditions[:1]), backend=backend) as driver:
        driver.feed(source)
        driver.run()
        assert driver.ended == Ended("enough", trouble=False)
    assert [encoder.late for encoder in backend.encoders] == [0]


def test_a_session_can_be_abandoned_at_any_moment() -> None:
    source = make_source(SourceSpec(frames=60))
    for delay_s in (0, 0.001, 0.01, 0.05):
        with Driver(source, template()) as driver:
            driver.feed(source)
            time.sleep(delay_s)
            driver.session.abandon("enough")
            driver.run()
            assert driver.ended == Ended("enough", trouble=False)


def test_closing_leaves_no_thread_behind() -> None:
    source = make_source(SourceSpec(frames=5))
    others = set(threading.enumerate())
    for _ in range(3):
        with Driver(source, template()) as driver:
            driver.feed(source)
            driver.finish()
            deadline_s = time.monotonic() + DEADLINE_S
            while driver.session.state is not SessionState.CLOSED:
                assert time.monotonic() < deadline_s
                time.sleep(0.005)
    join_all_but(others)
    with pytest.raises(queue.Empty):
        driver.events.get_nowait()

"""A session on the software device, from units in to tags out, by what a strict player sees."""

import logging
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from common.avc import AvcConfig, SpsInfo, join_avcc, parse_sps, split_avcc
from common.errors import DecodeFailed, DeviceLost, EncodeFailed, EncoderCapReached
from common.flv import parse_video
from common.ladder import Ladder, Rendition, Rung
from common.rtmp.amf0 import decode_all
from tests.helpers_worker import (
    DEADLINE_S,
    SMALL,
    Driver,
    Output,
    Source,
    SourceSpec,
    access_units,
    make_source,
    plane_of,
    template,
    transcode,
)
from worker.backend import EncodedUnit, Encoder, Picture, Surface
from worker.captions import caption_data, caption_sei
from worker.events import CapMet, DeviceGone, Ended
from worker.lanes import Job, Lane, OwnLanes
from worker.session import SessionState
from worker.soft import SoftBackend
from worker.soft_decode import SoftDecoder
from worker.soft_scale import SoftScaler

BIG, LITTLE = SMALL


def check(output: Output, size: tuple[int, int], pixel_format: str = "yuv420p") -> None:
    """A rung decodes strictly, all of it, in the size asked for."""
    frames = output.decode()
    assert [frame.pts for frame in frames] == output.pts_ms
    assert {(frame.width, frame.height) for frame in frames} == {size}
    assert {frame.format.name for frame in frames} == {pixel_format}


@pytest.mark.parametrize(
    "spec",
    [
        SourceSpec(),
        SourceSpec(b_frames=3, start_ms=700),
        SourceSpec(pixel_format="yuv422p10le"),
        SourceSpec(interlaced=True),
        SourceSpec(fps=Fraction(30000, 1001), colour=(1, 1, 1, 1)),
    ],
)
def test_every_rung_is_what_was_asked_with_the_sources_own_times(spec: SourceSpec) -> None:
    source = make_source(spec)
    outputs = transcode(source, template())
    check(outputs["big"], (320, 180))
    check(outputs["small"], (160, 90))
    assert outputs["big"].pts_ms == source.pts_ms
    assert set(outputs["small"].pts_ms) <= set(source.pts_ms)
    assert len(outputs["small"].pts_ms) == pytest.approx(len(source.units) / 2, abs=2)
    for name, profile in (("big", 77), ("small", 66)):
        config = AvcConfig.parse(parse_video(outputs[name].headers[0]).data)
        assert config.profile == profile
        info = parse_sps(config.sps[0])
        wanted = (spec.colour[0], spec.colour[1], spec.colour[2])
        assert (info.colour_primaries, info.colour_transfer, info.colour_matrix) == wanted
    _, metadata = decode_all(outputs["small"].metadata[0])
    assert isinstance(metadata, dict)
    assert metadata["width"] == 160.0
    assert metadata["framerate"] == pytest.approx(float(spec.fps) / 2, abs=0.01)


@pytest.mark.parametrize("fps", [Fraction(60), Fraction(50), Fraction(30000, 1001), Fraction(24)])
def test_keyframes_are_the_same_pictures_on_all_rungs_and_on_the_grid(fps: Fraction) -> None:
    source = make_source(SourceSpec(frames=round(3.2 * fps), fps=fps, start_ms=330))
    outputs = transcode(source, template())
    keys = outputs["big"].keys_ms
    assert outputs["small"].keys_ms == keys
    assert keys == [b for a, b in pairwise([-1000, *source.pts_ms]) if a // 1000 != b // 1000]


def test_rates_are_lowered_evenly() -> None:
    source = make_source(SourceSpec(frames=180, fps=Fraction(60)))
    outputs = transcode(source, template(gop_ms=2000))
    steps = {b - a for a, b in pairwise(outputs["big"].pts_ms)}
    assert steps <= {33, 34}
    assert {b - a for a, b in pairwise(outputs["small"].pts_ms)} <= {66, 67}


def test_a_source_of_variable_rate_keeps_its_times() -> None:
    rng = np.random.default_rng(2)
    times = tuple(int(t) for t in np.cumsum(rng.integers(15, 120, 80)))
    outputs = transcode(make_source(SourceSpec(times_ms=times)), template())
    check(outputs["big"], (320, 180))
    assert set(outputs["big"].pts_ms) <= set(times)
    assert outputs["big"].keys_ms == outputs["small"].keys_ms


def test_a_change_of_size_keeps_the_outputs_size_and_begins_with_a_keyframe() -> None:
    first = make_source(SourceSpec(frames=20))
    second = make_source(SourceSpec(frames=20, width=240, height=240, start_ms=667))
    with Driver(first, template()) as driver:
        driver.feed(first)
        driver.session.put_header(second.record)
        driver.feed(second)
        outputs = driver.finish()
    check(outputs["big"], (320, 180))
    check(outputs["small"], (160, 90))
    assert outputs["big"].pts_ms == first.pts_ms + second.pts_ms
    assert outputs["big"].keys_ms == [0, 667, 1000]
    assert len(outputs["big"].headers) == 1
    last = outputs["big"].decode()[-1]
    luma = plane_of(last, 0)
    assert luma[:, :30].mean() < 20  # the square lies in the middle
    assert luma[:, 160].std() > 10


def test_a_source_that_outgrows_what_was_reserved_ends() -> None:
    first = make_source(SourceSpec(frames=5))
    huge = make_source(SourceSpec(frames=1, width=640, height=640))
    ladder = replace(template(), max_source=(400, 400, 30))
    with Driver(first, ladder) as driver:
        driver.feed(first)
        driver.session.put_header(huge.record)
        outputs = driver.run()
        assert driver.ended is not None
        assert driver.ended.trouble
        assert "640x640" in driver.ended.reason
    assert outputs["big"].pts_ms == first.pts_ms


def test_parameter_sets_that_cannot_be_read_change_nothing() -> None:
    source = make_source(SourceSpec(frames=20))
    with Driver(source, template()) as driver:
        driver.session.put_header(b"\x01garbage")
        driver.session.put_header(source.record)
        driver.feed(source)
        outputs = driver.finish()
        assert driver.session.status(1.0).decode_errors == 1
    check(outputs["big"], (320, 180))
    assert outputs["big"].keys_ms == [0]


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


def with_captions(source: Source, spec: SourceSpec) -> tuple[Source, bytes]:
    """Each picture, in display order, says one construct that counts up."""
    units = []
    order = source.pts_ms
    for unit in source.units:
        index = order.index(unit.pts_ms)
        sei = caption_sei(bytes((0xFC, 0x20 + index // 64, index % 64)))
        units.append(replace(unit, data=join_avcc([sei, *split_avcc(unit.data)])))
    said = b"".join(bytes((0xFC, 0x20 + index // 64, index % 64)) for index in range(len(order)))
    return replace(source, units=tuple(units)), said


@pytest.mark.parametrize("b_frames", [0, 2])
def test_captions_reach_every_rung_in_display_order_whatever_its_rate(b_frames: int) -> None:
    spec = SourceSpec(frames=61, b_frames=b_frames)
    source, said = with_captions(make_source(spec), spec)
    outputs = transcode(source, template())
    assert b"".join(caption_data(unit, 4) for unit in outputs["big"].units()) == said
    assert b"".join(caption_data(unit, 4) for unit in outputs["small"].units()) == said
    check(outputs["small"], (160, 90))
    frame = outputs["small"].decode()[3]
    assert "A53_CC" in str(list(frame.side_data))


def test_after_a_loss_encoding_goes_on_behind_the_last_picture_seen() -> None:
    source = make_source(SourceSpec(frames=60, gop_frames=60))
    with Driver(source, template(gop_ms=10_000), resume_after_ms=source.pts_ms[29]) as driver:
        driver.feed(source, replay=True)
        outputs = driver.finish()
        assert driver.session.status(1.0).frames_out == 60
    assert outputs["big"].pts_ms == source.pts_ms[30:]
    assert outputs["big"].keys_ms == outputs["small"].keys_ms == [source.pts_ms[30]]
    check(outputs["big"], (320, 180))


def test_a_drain_cuts_between_two_generations_without_loss_or_repeat() -> None:
    source = make_source(SourceSpec(frames=75, gop_frames=75, fps=Fraction(25), b_frames=2))
    with (
        Driver(source, template()) as old,
        Driver(source, template(), generation=2, cut_ms=2000) as new,
    ):
        old.session.cut(2000)
        old.feed(source)
        new.feed(source, replay=True)
        of_old = old.run()  # ends by itself
        of_new = new.finish()
        assert old.ended == Ended("moved", trouble=False)
    for name in ("big", "small"):
        assert of_old[name].pts_ms[-1] < 2000 <= of_new[name].pts_ms[0]
        assert of_new[name].keys_ms[0] == 2000
    assert of_old["big"].pts_ms + of_new["big"].pts_ms == source.pts_ms


class PausingLane(Lane):
    """Notes for how long jobs are to wait, and runs them at once."""

    def __init__(self, pauses: list[float]) -> None:
        super().__init__("decode")
        self._pauses = pauses

    def post_later(self, job: Job, delay_s: float) -> None:
        self._pauses.append(delay_s)
        self.post(job)


class PausingLanes(OwnLanes):
    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def for_decoding(self) -> Lane:
        return PausingLane(self.pauses)


@pytest.mark.parametrize("is_alone", [False, True])
def test_replayed_units_leave_every_other_moment_to_other_streams(is_alone: bool) -> None:
    source = make_source(SourceSpec(frames=40))
    lanes = PausingLanes()
    with Driver(source, template(), lanes=lanes, is_alone=is_alone) as driver:
        replayed = replace(source, units=source.units[:30])
        driver.feed(replayed, replay=True)
        driver.feed(replace(source, units=source.units[30:]))
        outputs = driver.finish()
    assert outputs["big"].pts_ms == source.pts_ms
    assert len(lanes.pauses) == (0 if is_alone else 30)
    assert all(0 < pause_s < DEADLINE_S for pause_s in lanes.pauses)


def test_a_wrong_declared_rate_is_put_right_at_a_keyframe_and_the_bitrate_with_it() -> None:
    # the SPS says 30, the pictures come at 15
    times = tuple(round(index * 1000 / 15) for index in range(90))
    source = make_source(SourceSpec(times_ms=times, fps=Fraction(30), width=160, height=90))
    rendition = Rendition("only", 160, 90, 60_000, Fraction(30), "main", "p1")
    outputs = transcode(source, template([rendition]))
    output = outputs["only"]
    rates = [decode_all(body)[1]["framerate"] for body in output.metadata]  # type: ignore[index,call-overload]
    assert rates == [30.0, 15.0]
    assert [parse_sps(AvcConfig.parse(h[5:]).sps[0]).fps for h in output.headers] == [30, 15]
    first_of_second = next(tag for tag in output.tags if tag[3] == 2)
    assert first_of_second[1], "the encoder is opened anew at a keyframe"
    check(output, (160, 90))


def test_units_carry_when_they_came_in() -> None:
    source = make_source(SourceSpec(frames=10, b_frames=2))
    before_s = time.monotonic()
    outputs = transcode(source, template())
    assert all(before_s <= at_s <= time.monotonic() for at_s in outputs["big"].received_s)


def test_status_tells_what_the_session_did() -> None:
    source = make_source(SourceSpec(frames=30))
    too_large = Rendition("1080p", 1920, 1080, 4_000_000)
    with Driver(source, template([too_large, *SMALL])) as driver:
        driver.feed(source)
        driver.finish()
        status = driver.session.status(time.monotonic())
    assert (status.frames_in, status.frames_out, status.decode_errors) == (30, 30, 0)
    assert [r.name for r in status.renditions] == ["big", "small"]
    assert (status.renditions[1].width, status.renditions[1].height) == (160, 90)
    assert [entry.name for entry in status.left_out] == ["1080p"]
    assert status.last_in_s <= status.last_out_s <= time.monotonic()
    assert set(status.stages_ms) == {
        "transit",
        "queue",
        "decode",
        *(
            f"{stage}:{name}"
            for stage in ("handover", "scale", "encode")
            for name in ("big", "small")
        ),
    }


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


def test_a_session_can_be_abandoned_at_any_moment() -> None:
    source = make_source(SourceSpec(frames=60))
    for delay_s in (0, 0.001, 0.01, 0.05):
        with Driver(source, template()) as driver:
            driver.feed(source)
            time.sleep(delay_s)
            driver.session.abandon("enough")
            driver.run()
            assert driver.ended == Ended("enough", trouble=False)


# ---- a device that fails ----------------------------------------------------------------------


class FailingEncoder:
    """Encodes until `fails_at` pictures came, then raises, or waits for a signal."""

    def __init__(self, encoder: Encoder, fails_at: int, error: Exception) -> None:
        self._encoder = encoder
        self._left = fails_at
        self._error = error

    @property
    def config(self) -> AvcConfig:
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
    """Some rungs' encoders fail."""

    def __init__(self, fails_at: dict[str, int], error: Exception) -> None:
        super().__init__("cpu:0")
        self._fails_at = fails_at
        self._error = error

    def open_encoder(self, rung: Rung, sps: SpsInfo, fps: Fraction) -> Any:
        encoder = super().open_encoder(rung, sps, fps)
        return FailingEncoder(encoder, self._fails_at.get(rung.name, 10**9), self._error)


def test_a_rung_that_fails_ends_alone_and_status_says_why() -> None:
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
    assert [(entry.name, entry.reason) for entry in status.left_out] == [
        ("small", "no more sessions")
    ]


def test_a_session_whose_rungs_all_fail_ends_with_trouble(
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
        gone = None
        while gone is None:
            event = driver.events.get(timeout=DEADLINE_S)
            if isinstance(event, DeviceGone):
                gone = event
        assert gone == DeviceGone("fell off the bus")


class CappedBackend(SoftBackend):
    """Has so many encoder sessions and no more."""

    def __init__(self, sessions: int) -> None:
        super().__init__("cpu:0")
        self.sessions = sessions
        self.opened = 0

    def open_encoder(self, rung: Rung, sps: SpsInfo, fps: Fraction) -> Any:
        if self.opened == self.sessions:
            raise EncoderCapReached(f"{rung.name}: the driver's cap", self.opened)
        self.opened += 1
        return super().open_encoder(rung, sps, fps)


def test_a_session_cap_is_told_apart_before_the_stream_ends_by_it() -> None:
    source = make_source(SourceSpec(frames=2))
    with Driver(source, template(), backend=CappedBackend(1)) as driver:
        told = [driver.events.get(timeout=DEADLINE_S) for _ in range(2)]
    assert told == [
        CapMet(1, "small: the driver's cap"),
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
    def open_scaler(self, ladder: Ladder, sps: SpsInfo) -> RefusingScaler:
        return RefusingScaler(ladder, sps)


def test_pictures_that_cannot_be_scaled_are_left_out_and_the_next_one_is_the_keyframe() -> None:
    source = make_source(SourceSpec(frames=20))
    with Driver(source, template(), backend=RefusingBackend("cpu:0")) as driver:
        driver.feed(source)
        outputs = driver.finish()
        assert driver.session.status(1.0).decode_errors == 3
    assert outputs["big"].pts_ms == source.pts_ms[3:]
    assert outputs["big"].keys_ms == outputs["small"].keys_ms == [source.pts_ms[3]]


class StuckScaler(SoftScaler):
    """Its surfaces wait for a signal before they are encoded."""

    def __init__(self, ladder: Ladder, sps: SpsInfo, signal: threading.Event) -> None:
        super().__init__(ladder, sps)
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

    def open_scaler(self, ladder: Ladder, sps: SpsInfo) -> StuckScaler:
        return StuckScaler(ladder, sps, self._signal)


def test_a_session_that_falls_behind_drops_to_keyframes_and_recovers() -> None:
    source = make_source(SourceSpec(frames=120, gop_frames=30))
    signal = threading.Event()
    with Driver(source, template(), backend=StuckBackend(signal), queue_ms=500) as driver:
        half = replace(source, units=source.units[:60])
        driver.feed(half)
        stuck = driver.session.status(1.0)
        assert stuck.queue_ms <= 500
        deadline_s = time.monotonic() + DEADLINE_S
        while driver.session.status(1.0).stalled_s < 1.5 and time.monotonic() < deadline_s:
            driver.session.watch(0.25)
            time.sleep(0.01)
        assert driver.session.status(1.0).stalled_s >= 1.5
        signal.set()
        deadline_s = time.monotonic() + DEADLINE_S
        while driver.session.status(1.0).queue_ms > 0 and time.monotonic() < deadline_s:
            time.sleep(0.01)
        rest = replace(source, units=source.units[60:])
        for index in range(0, 60, 10):
            driver.feed(replace(rest, units=rest.units[index : index + 10]))
            time.sleep(0.05)
        outputs = driver.finish()
        status = driver.session.status(1.0)
    check(outputs["big"], (320, 180))
    assert status.dropped > 20
    assert status.frames_out == 120 - status.dropped
    assert outputs["big"].pts_ms[-1] == source.pts_ms[-1]


class SlowSurface:
    """Takes a while to be ready."""

    def __init__(self, surface: Any, seconds: float) -> None:
        self._surface = surface
        self._seconds = seconds
        self.pts_ms: int = surface.pts_ms

    def prepare(self) -> None:
        time.sleep(self._seconds)
        self._surface.prepare()

    def video_frame(self) -> Any:
        return self._surface.video_frame()


class SlowScaler(SoftScaler):
    seconds = 0.1

    def scale(self, picture: Any, wanted: Sequence[int]) -> list[Any]:
        surfaces = super().scale(picture, wanted)
        return [
            SlowSurface(surface, self.seconds if index == 0 else 0.0)
            for index, surface in zip(wanted, surfaces, strict=True)
        ]


class SlowBackend(SoftBackend):
    """The first rung makes 10 pictures a second at most."""

    def open_scaler(self, ladder: Ladder, sps: SpsInfo) -> SlowScaler:
        return SlowScaler(ladder, sps)


def test_a_rung_that_is_behind_leaves_pictures_out_and_no_keyframe_and_no_other_rung_suffers() -> (
    None
):
    source = make_source(SourceSpec(frames=90, gop_frames=90))
    began_s = time.monotonic()
    with Driver(source, template(gop_ms=500), backend=SlowBackend("cpu:0"), queue_ms=800) as driver:
        for index, (header, data) in enumerate(access_units(source)):
            time.sleep(max(0.0, began_s + index / 30 - time.monotonic()))
            header = replace(header, received_s=time.monotonic())
            driver.session.put(header, data, header.received_s)
        driver.session.watch(0.25)
        outputs = driver.finish()
        status = driver.session.status(1.0)
    assert status.dropped == 0
    assert status.frames_out == 90
    assert status.skipped == status.renditions[0].dropped > 20
    assert status.skipped == 90 - len(outputs["big"].tags)
    assert outputs["big"].keys_ms == outputs["small"].keys_ms == [0, 500, 1000, 1500, 2000, 2500]
    assert len(outputs["small"].tags) >= 45
    check(outputs["big"], (320, 180))


class LateBackend(SoftBackend):
    """Takes longer to open than a picture may wait, and encodes faster than real time."""

    def open_decoder(self, config: AvcConfig, sps: SpsInfo) -> SoftDecoder:
        time.sleep(0.45)
        return super().open_decoder(config, sps)

    def open_scaler(self, ladder: Ladder, sps: SpsInfo) -> SlowScaler:
        scaler = SlowScaler(ladder, sps)
        scaler.seconds = 0.01
        return scaler


def test_pictures_that_waited_for_a_slow_opening_are_all_encoded() -> None:
    source = make_source(SourceSpec(frames=16))  # 500 ms, all of it older than 400 ms by then
    with Driver(source, template(), backend=LateBackend("cpu:0"), queue_ms=800) as driver:
        driver.feed(source)
        outputs = driver.finish()
    assert outputs["big"].pts_ms == source.pts_ms


def test_the_top_rung_can_be_halved_left_out_and_brought_back_at_a_keyframe() -> None:
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


def test_closing_leaves_no_thread_behind() -> None:
    source = make_source(SourceSpec(frames=5))
    before = threading.active_count()
    for _ in range(3):
        with Driver(source, template()) as driver:
            driver.feed(source)
            driver.finish()
            deadline_s = time.monotonic() + DEADLINE_S
            while driver.session.state is not SessionState.CLOSED:
                assert time.monotonic() < deadline_s
                time.sleep(0.005)
    deadline_s = time.monotonic() + DEADLINE_S
    while threading.active_count() > before:
        assert time.monotonic() < deadline_s
        time.sleep(0.005)
    with pytest.raises(queue.Empty):
        driver.events.get_nowait()


# ---- while the publisher is away ---------------------------------------------------------------


def gather(driver: Driver, name: str, count: int) -> None:
    """Take events until a rung has given so many pictures."""
    while name not in driver.outputs or len(driver.outputs[name].tags) < count:
        driver.take(driver.events.get(timeout=DEADLINE_S))


@pytest.mark.parametrize("b_frames", [0, 2])
def test_the_last_picture_stands_in_until_the_publisher_is_back(b_frames: int) -> None:
    """And the encoders never end: one header, times that go on, an IDR at the return."""
    first = make_source(SourceSpec(frames=30, b_frames=b_frames))
    with Driver(first, template()) as driver:
        driver.feed(first)
        gather(driver, "big", 20)
        anchor_s = time.monotonic()
        driver.session.pause(1000, anchor_s)
        gather(driver, "big", 45)
        back_ms = 1100 + round((time.monotonic() - anchor_s) * 1000)
        second = make_source(
            SourceSpec(frames=30, start_ms=back_ms, b_frames=b_frames, brightness=60)
        )
        driver.feed(second)
        outputs = driver.finish()
    for name, (width, height) in (("big", (320, 180)), ("small", (160, 90))):
        output = outputs[name]
        check(output, (width, height))
        assert len(output.headers) == 1
        assert all(a < b for a, b in pairwise(output.pts_ms))
    output = outputs["big"]
    filled = [pts for pts in output.pts_ms if first.pts_ms[-1] < pts < second.pts_ms[0]]
    assert len(filled) >= 15
    assert {b - a for a, b in pairwise(filled)} <= {33, 34, 66, 67}, "the source's rate"
    assert set(first.pts_ms) <= set(output.pts_ms), "none of its own is left out"
    assert set(second.pts_ms) <= set(output.pts_ms)
    assert second.pts_ms[0] in output.keys_ms
    shown = {frame.pts: plane_of(frame, 0).astype(int) for frame in output.decode()}
    last = shown[first.pts_ms[-1]]
    for pts in filled:
        assert np.abs(shown[pts] - last).mean() < 4, "the last picture"


def test_a_session_that_begins_while_the_publisher_is_away_goes_on_after_the_resume_point() -> None:
    """As after the loss of a worker: nothing of the GOP is shown again, only what stands in."""
    source = make_source(SourceSpec(frames=30))
    now_s = time.monotonic()
    with Driver(source, template(), resume_after_ms=5000) as driver:
        driver.feed(source, replay=True)
        driver.session.pause(5200, now_s)
        gather(driver, "big", 10)
        outputs = driver.finish()
    output = outputs["big"]
    check(output, (320, 180))
    assert output.pts_ms[0] > 5000
    assert output.keys_ms[0] == output.pts_ms[0]


def test_a_pause_before_any_picture_makes_none() -> None:
    source = make_source(SourceSpec(frames=10))
    with Driver(source, template()) as driver:
        driver.session.pause(0, time.monotonic())
        driver.feed(source)
        outputs = driver.finish()
    assert outputs["big"].pts_ms == source.pts_ms

"""A session on the software device, from units in to tags out, by what a strict player sees."""

import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

from common.codecs.captions import caption_data, caption_sei
from common.codecs.h264 import AvcConfig, NalType, join_avcc, parse_sps, split_avcc
from common.config.ladder import Rendition
from common.flv.amf0 import decode_all
from common.flv.video import parse_video
from common.media.units import VideoCodec
from tests.kit.session_driver import (
    DEADLINE_S,
    SMALL,
    Driver,
    Source,
    SourceSpec,
    access_units,
    check,
    make_source,
    plane_of,
    template,
    transcode,
)
from tests.kit.waiting import until
from worker.session.events import Ended, RenditionCoded
from worker.threads import Job, JobThread, OwnThreads

wait_until = partial(until, timeout=DEADLINE_S, every=0.001)


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
def test_every_rendition_is_what_was_asked_with_the_sources_own_times(spec: SourceSpec) -> None:
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
def test_keyframes_are_the_same_pictures_on_all_renditions_and_on_the_grid(fps: Fraction) -> None:
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
        driver.session.put_header(second.record, VideoCodec.H264)
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
        driver.session.put_header(huge.record, VideoCodec.H264)
        outputs = driver.run()
        assert driver.ended is not None
        assert driver.ended.trouble
        assert "640x640" in driver.ended.reason
    assert outputs["big"].pts_ms == first.pts_ms


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
def test_captions_reach_every_rendition_in_display_order_whatever_its_rate(b_frames: int) -> None:
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
        Driver(source, template(), generation=2, splice_ms=2000) as new,
    ):
        old.session.splice(2000)
        old.feed(source)
        new.feed(source, replay=True)
        of_old = old.run()  # ends by itself
        of_new = new.finish()
        assert old.ended == Ended("moved", trouble=False)
    for name in ("big", "small"):
        assert of_old[name].pts_ms[-1] < 2000 <= of_new[name].pts_ms[0]
        assert of_new[name].keys_ms[0] == 2000
    assert of_old["big"].pts_ms + of_new["big"].pts_ms == source.pts_ms


class PausingThread(JobThread):
    """Notes for how long jobs are to wait, and runs them at once."""

    def __init__(self, pauses: list[float]) -> None:
        super().__init__("decode")
        self._pauses = pauses

    def post_later(self, job: Job, delay_s: float) -> None:
        self._pauses.append(delay_s)
        self.post(job)


class PausingThreads(OwnThreads):
    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def for_decoding(self) -> JobThread:
        return PausingThread(self.pauses)


@pytest.mark.parametrize("is_alone", [False, True])
def test_replayed_units_leave_every_other_moment_to_other_streams(is_alone: bool) -> None:
    source = make_source(SourceSpec(frames=40))
    threads = PausingThreads()
    with Driver(source, template(), threads=threads, is_alone=is_alone) as driver:
        replayed = replace(source, units=source.units[:30])
        driver.feed(replayed, replay=True)
        driver.feed(replace(source, units=source.units[30:]))
        outputs = driver.finish()
    assert outputs["big"].pts_ms == source.pts_ms
    assert len(threads.pauses) == (0 if is_alone else 30)
    assert all(0 < pause_s < DEADLINE_S for pause_s in threads.pauses)


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


def test_the_first_picture_of_an_encoder_carries_its_parameter_sets() -> None:
    """VLC 3 reads no header of a running stream: without them it decodes another encoder's."""
    times = tuple(round(index * 1000 / 15) for index in range(90))  # so it is opened anew
    source = make_source(SourceSpec(times_ms=times, fps=Fraction(30), width=160, height=90))
    rendition = Rendition("only", 160, 90, 60_000, Fraction(30), "main", "p1")
    output = transcode(source, template([rendition]))["only"]
    configs = [AvcConfig.parse(parse_video(header).data) for header in output.headers]
    carried: dict[int, list[list[bytes]]] = {}
    for tag in output.tags:
        units = split_avcc(parse_video(tag[2]).data)
        sets = [unit for unit in units if unit[0] & 0x1F in (NalType.SPS, NalType.PPS)]
        carried.setdefault(tag[3], []).append(sets)
    assert len(configs) == 2
    for header, pictures in carried.items():
        config = configs[header - 1]
        assert pictures[0] == [*config.sps, *config.pps]
        assert not any(pictures[1:])


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
    assert [entry.name for entry in status.omitted] == ["1080p"]
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


# ---- a device that fails ----------------------------------------------------------------------


@pytest.mark.parametrize("is_saturated", [False, True])
def test_the_decode_thread_encodes_what_it_has_time_for(is_saturated: bool) -> None:
    source = make_source(SourceSpec(frames=40))
    threads = KeptThreads()
    with Driver(
        source, template(), threads=threads, is_saturated=is_saturated, cpu_clock=time.thread_time
    ) as driver:
        for unit in access_units(source):
            before = driver.session.status(time.monotonic()).frames_out
            driver.session.put(*unit, time.monotonic())
            deadline_s = time.monotonic() + DEADLINE_S
            while driver.session.status(time.monotonic()).frames_out == before:
                assert time.monotonic() < deadline_s
                time.sleep(0.001)
        outputs = driver.finish()
    for name, size in (("big", (320, 180)), ("small", (160, 90))):
        check(outputs[name], size)
    assert outputs["big"].pts_ms == source.pts_ms
    big, small = threads.encoding
    assert small.done < 10, "its pictures were the decode thread's"
    assert (big.done < 15) is is_saturated


def test_where_a_gpu_decodes_one_thread_encodes_all_renditions_on_a_saturated_host() -> None:
    source = make_source(SourceSpec(frames=20))
    threads = KeptThreads(groups_small_encoders=True)
    renditions = [*SMALL, Rendition("least", 96, 54, 50_000)]
    with Driver(
        source, template(renditions), threads=threads, is_saturated=True, cpu_clock=time.thread_time
    ) as driver:
        driver.feed(source)
        outputs = driver.finish()
    for name, size in (("big", (320, 180)), ("small", (160, 90)), ("least", (96, 54))):
        check(outputs[name], size)
    assert outputs["big"].pts_ms == source.pts_ms
    big, *small = threads.encoding
    encoded = sum(len(output.pts_ms) for output in outputs.values())
    assert big.done >= encoded
    assert all(thread is not big and thread.done == 0 for thread in small)


def test_batches_of_what_nobody_plays_are_encoded_inline_and_reported_at_once() -> None:
    source = make_source(SourceSpec(frames=40))
    threads = KeptThreads()
    with Driver(
        source,
        template(),
        threads=threads,
        has_players=lambda: False,
        is_saturated=True,
        cpu_clock=time.thread_time,
    ) as driver:
        units = list(access_units(source))
        for first in range(0, len(units), 4):
            for unit in units[first : first + 4]:
                driver.session.put(*unit, time.monotonic())
            deadline_s = time.monotonic() + DEADLINE_S
            while driver.events.qsize() < 2 + (first + 4) * 3 // 2:  # two openings; half the rate
                assert time.monotonic() < deadline_s, "a batch's last tags stay behind"
                time.sleep(0.001)
        outputs = driver.finish()
    for name, size in (("big", (320, 180)), ("small", (160, 90))):
        check(outputs[name], size)
    assert outputs["big"].pts_ms == source.pts_ms
    assert outputs["small"].pts_ms == source.pts_ms[::2]
    for thread in threads.encoding:
        assert thread.done < 20, "their pictures were the decode thread's"


class Unplayed(Driver):
    """A stream that nobody plays, some pictures on: its decode thread encodes all by itself.

    `asked` is called, in that thread, when it asks for players: some of its entries wait then.
    """

    def __init__(self, source: Source) -> None:
        self.asked: Callable[[], None] = lambda: None
        ticks = itertools.count()
        super().__init__(
            source,
            template(),
            has_players=self._has_players,
            is_saturated=True,
            cpu_clock=lambda: next(ticks) * 1e-6,
        )
        units = list(access_units(source))
        for index in range(4):
            wait_until(partial(self._has_decoded, index))
            self.session.put(*units[index], time.monotonic())
        wait_until(lambda: self.events.qsize() == 2 + 4 + 2)  # two openings; half the rate
        self.units = units[4:]

    def put(self, count: int) -> None:
        """The next units of the source."""
        for unit in self.units[:count]:
            self.session.put(*unit, time.monotonic())
        del self.units[:count]

    def when_asked(self, actions: Mapping[int, Callable[[], None]]) -> None:
        """What to do when it asks for the first time from now on (1), the second, and so on."""
        count = itertools.count(1)
        self.asked = lambda: actions.get(next(count), lambda: None)()

    def _has_players(self) -> bool:
        self.asked()
        return False

    def _has_decoded(self, count: int) -> bool:
        return self.session.status(time.monotonic()).frames_out == count


def test_of_a_batch_that_nobody_waits_for_a_renditions_pictures_are_encoded_in_a_row() -> None:
    source = make_source(SourceSpec(frames=20))
    with Unplayed(source) as driver:
        for _ in range(driver.events.qsize()):
            driver.take(driver.events.get())
        are_all_there = threading.Event()
        driver.asked = partial(wait_until, are_all_there.is_set)
        driver.put(4)
        are_all_there.set()
        coded = [driver.events.get(timeout=DEADLINE_S) for _ in range(4 + 2)]
        order = [event.rendition for event in coded if isinstance(event, RenditionCoded)]
        assert order == [0, 0, 0, 0, 1, 1]
        for event in coded:
            driver.take(event)
        outputs = driver.finish()
    assert outputs["big"].pts_ms == source.pts_ms[:8]
    assert outputs["small"].pts_ms == source.pts_ms[:8:2]


def test_what_is_deferred_to_the_end_of_a_batch_is_encoded_though_the_session_ends() -> None:
    source = make_source(SourceSpec(frames=20))
    with Unplayed(source) as driver:
        deferred: list[int] = []

        def end() -> None:
            deferred.append(len(driver.session._pipeline._path._deferred))
            driver.session.abandon("moved")

        driver.when_asked({1: lambda: driver.put(2), 4: end})
        driver.put(1)
        outputs = driver.run()
    assert deferred == [3], "of two pictures, before the third"
    assert len(outputs["big"].tags) >= 4 + 2


def test_tags_keep_their_order_where_the_decode_thread_leaves_encoding_to_others() -> None:
    source = make_source(SourceSpec(frames=40))
    with Unplayed(source) as driver:
        driver.when_asked({5: lambda: driver.put(40)})
        driver.put(6)
        wait_until(lambda: not driver.units)
        outputs = driver.finish()
    assert outputs["big"].pts_ms == source.pts_ms
    assert outputs["small"].pts_ms == source.pts_ms[::2]


def test_what_is_encoded_goes_out_though_units_still_come_to_a_session_that_ends() -> None:
    source = make_source(SourceSpec(frames=20))
    with Unplayed(source) as driver:

        def end() -> None:
            driver.session.abandon("moved")
            driver.put(1)

        driver.when_asked({5: end})
        driver.put(6)
        outputs = driver.run()
    assert len(outputs["big"].tags) > 4


def test_tags_for_nobody_go_out_though_the_queue_is_never_empty() -> None:
    source = make_source(SourceSpec(frames=90))
    with Unplayed(source) as driver:
        driver.asked = lambda: driver.put(len(driver.session._pipeline._shared.queue) < 3)
        driver.put(3)
        wait_until(lambda: not driver.units)
        assert driver.events.qsize() > 60
        outputs = driver.finish()
    assert outputs["big"].pts_ms == source.pts_ms


class KeptThreads(OwnThreads):
    """Remembers the threads of its encoders."""

    def __init__(self, *, groups_small_encoders: bool = False) -> None:
        super().__init__(groups_small_encoders=groups_small_encoders)
        self.encoding: list[JobThread] = []

    def for_encoding(self, samples: Sequence[int]) -> list[JobThread]:
        self.encoding = super().for_encoding(samples)
        return self.encoding

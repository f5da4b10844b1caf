from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.flv.clock32 import wrap
from common.media.clock import ClockReference
from ingest.streams.clock.timeline import MAX_STEP_AHEAD_MS, Stamp, Timeline

FRAME_MS = 40
HOUR_MS = 3_600_000


class Publisher:
    """Sends video and audio every 40 ms in real time: the same moment on both."""

    def __init__(self, timeline: Timeline, now: float = 100.0, time_ms: int = 0) -> None:
        self.timeline = timeline
        self.now = now
        self.time_ms = time_ms

    def step(self) -> tuple[Stamp, Stamp]:
        stamps = self.send_video(), self.send_audio()
        self.now += FRAME_MS / 1000
        self.time_ms += FRAME_MS
        return stamps

    def send_video(self) -> Stamp:
        return self.timeline.video(wrap(self.time_ms), self.now)

    def send_audio(self) -> Stamp:
        return self.timeline.audio(wrap(self.time_ms), self.now)

    def run(self, count: int) -> list[tuple[Stamp, Stamp]]:
        return [self.step() for _ in range(count)]


def test_the_first_publishers_times_pass_through() -> None:
    timeline = Timeline()
    assert (timeline.clock_reference, timeline.end_ms, timeline.now_ms(5.0)) == (None, None, 0)
    stamps = Publisher(timeline, time_ms=777).run(3)
    assert stamps == [(Stamp(at), Stamp(at)) for at in (777, 817, 857)]
    assert timeline.offset_ms == 0
    assert timeline.end_ms == 857
    assert timeline.now_ms(100.0) == 777
    assert timeline.now_ms(101.0) == 1777


def test_a_given_offset_is_added() -> None:
    assert Timeline(offset_ms=5_000).video(40, 1.0) == Stamp(5_040)


def test_times_go_on_where_the_timestamp_wraps() -> None:
    stamps = Publisher(Timeline(), time_ms=2**32 - 60).run(3)
    assert [video.dts_ms for video, _ in stamps] == [2**32 - 60, 2**32 - 20, 2**32 + 20]
    assert not any(stamp.discontinuity for pair in stamps for stamp in pair)


def test_jitter_backwards_moves_dts_up_and_says_by_how_much() -> None:
    timeline = Timeline()
    sent = [timeline.video(at, 100 + at / 1000) for at in (0, 40, 30, 35, 42, 80)]
    assert sent == [Stamp(0), Stamp(40), Stamp(41, moved_ms=11), Stamp(42, moved_ms=7),
                    Stamp(43, moved_ms=1), Stamp(80)]  # fmt: skip


def test_audio_and_video_are_ordered_each_by_itself() -> None:
    timeline = Timeline()
    assert timeline.video(100, 1.0) == Stamp(100)
    assert timeline.audio(60, 1.0) == Stamp(60)
    assert timeline.audio(60, 1.0) == Stamp(61, moved_ms=1)


def test_a_step_back_lands_at_now_and_after_the_last_sent_for_both_kinds() -> None:
    timeline = Timeline()
    publisher = Publisher(timeline, time_ms=50_000)
    publisher.run(10)
    publisher.time_ms = 0
    video, audio = publisher.step()
    assert video == Stamp(50_400, discontinuity=True)  # ten frames after the first
    assert audio == Stamp(50_400, discontinuity=True)
    assert timeline.offset_ms == 50_400
    assert [stamp.dts_ms for stamp in publisher.step()] == [50_440, 50_440]


def test_a_step_ahead_by_more_than_ten_seconds_lands_at_now() -> None:
    publisher = Publisher(Timeline())
    publisher.run(10)
    publisher.time_ms += HOUR_MS
    assert publisher.step() == (Stamp(400, discontinuity=True), Stamp(400, discontinuity=True))


def test_a_gap_that_the_clock_shares_is_no_jump() -> None:
    publisher = Publisher(Timeline())
    publisher.run(2)
    publisher.time_ms += HOUR_MS
    publisher.now += HOUR_MS / 1000
    assert publisher.step() == (Stamp(HOUR_MS + 80), Stamp(HOUR_MS + 80))


def test_a_small_step_ahead_is_kept_as_sent() -> None:
    publisher = Publisher(Timeline())
    publisher.run(2)
    publisher.time_ms += MAX_STEP_AHEAD_MS - FRAME_MS
    assert publisher.step()[0] == Stamp(MAX_STEP_AHEAD_MS + FRAME_MS)


def test_tags_of_both_sides_of_a_jump_may_be_mixed() -> None:
    """Audio from before the jump comes after video from behind it: neither is thrown about."""
    for jump_ms in (HOUR_MS, -HOUR_MS, -2_000, 11_000):
        timeline = Timeline()
        publisher = Publisher(timeline, time_ms=2 * HOUR_MS)
        publisher.run(10)
        start = 2 * HOUR_MS + 400
        old = [timeline.audio(start + at, publisher.now) for at in (0, 20)]
        new = [timeline.video(start + jump_ms + at, publisher.now) for at in (0, 40)]
        old += [timeline.audio(start + at, publisher.now) for at in (40, 60)]
        new += [timeline.video(start + jump_ms + at, publisher.now) for at in (80, 120)]
        crossed = [timeline.audio(start + jump_ms + at, publisher.now) for at in (80, 100)]
        assert [stamp.dts_ms - start for stamp in old] == [0, 20, 40, 60]
        assert [stamp.discontinuity for stamp in new] == [True, False, False, False]
        first = new[0].dts_ms
        assert [stamp.dts_ms - first for stamp in new] == [0, 40, 80, 120]
        assert 0 <= first - start <= 21
        # In step again: audio of the moment of the third picture has its time.
        assert crossed == [Stamp(new[2].dts_ms, discontinuity=True), Stamp(new[2].dts_ms + 20)]


def test_audio_that_starts_late_on_a_clock_of_its_own_lands_at_now() -> None:
    timeline = Timeline()
    publisher = Publisher(timeline, time_ms=HOUR_MS)
    for _ in range(5):
        publisher.send_video()
        publisher.now += 0.04
        publisher.time_ms += FRAME_MS
    assert timeline.audio(0, publisher.now) == Stamp(HOUR_MS + 200, discontinuity=True)
    assert timeline.audio(20, publisher.now).dts_ms == HOUR_MS + 220
    assert publisher.send_video() == Stamp(HOUR_MS + 200)


def without_sound(seconds: int) -> tuple[Timeline, Publisher]:
    """A publisher that sent audio up to 5 s, and pictures for so many more."""
    timeline = Timeline()
    publisher = Publisher(timeline)
    publisher.run(5_000 // FRAME_MS)
    for _ in range(seconds * 1_000 // FRAME_MS):
        publisher.send_video()
        publisher.now += FRAME_MS / 1000
        publisher.time_ms += FRAME_MS
    return timeline, publisher


def test_audio_whose_clock_stood_still_while_it_was_silent_comes_back_to_now() -> None:
    timeline, publisher = without_sound(60)
    sound_ms, marked = 5_000, []
    for _ in range(20_000 // FRAME_MS):
        video = publisher.send_video()
        audio = timeline.audio(sound_ms, publisher.now)
        marked += [publisher.time_ms] if audio.discontinuity else []
        assert not video.discontinuity
        assert video.moved_ms == audio.moved_ms == 0
        publisher.now += FRAME_MS / 1000
        publisher.time_ms += FRAME_MS
        sound_ms += FRAME_MS
    assert len(marked) == 1
    assert 75_000 < marked[0] < 75_100
    assert abs(audio.dts_ms - video.dts_ms) <= FRAME_MS


def test_audio_that_was_held_up_and_catches_up_keeps_its_time() -> None:
    timeline, publisher = without_sound(20)
    sound_ms = 5_000
    while sound_ms < publisher.time_ms:
        publisher.send_video()
        for _ in range(4):
            assert timeline.audio(sound_ms, publisher.now) == Stamp(sound_ms)
            sound_ms += FRAME_MS
        publisher.now += FRAME_MS / 1000
        publisher.time_ms += FRAME_MS


def test_a_publisher_that_was_held_up_as_a_whole_keeps_its_time() -> None:
    timeline = Timeline()
    publisher = Publisher(timeline)
    publisher.run(250)
    publisher.now += 30  # and never makes up for it
    for video, audio in publisher.run(1_000):
        assert video == audio
        assert not video.discontinuity


@pytest.mark.parametrize("trail_ms", [0, 400])
@pytest.mark.parametrize("composition_ms", [0, 80])
@pytest.mark.parametrize("stalls", [(12, 2, 9), (11, 4, 7), (9.8, 2, 9), (12, 2, 9, 3, 9, 1, 20)])
def test_a_publisher_that_was_held_up_again_and_again_keeps_its_time(
    stalls: tuple[float, ...], composition_ms: int, trail_ms: int
) -> None:
    """By turns it stands still for so many seconds, and sends so many."""
    timeline = Timeline()
    now, at_ms = 100.0, 1_000
    for stall_s, run_s in zip((0, *stalls[::2]), (30, *stalls[1::2], 30), strict=True):
        now += stall_s
        for _ in range(int(run_s * 1_000) // FRAME_MS):
            sound_ms = at_ms - trail_ms
            assert timeline.audio(sound_ms, now) == Stamp(sound_ms)
            assert timeline.video(at_ms, now, composition_ms) == Stamp(at_ms)
            now += FRAME_MS / 1000
            at_ms += FRAME_MS


def test_sound_between_silences_comes_back_to_now_though_its_clock_stands_still_in_each() -> None:
    timeline, publisher = without_sound(20)
    sound_ms = 5_000
    for step in range(30_000 // FRAME_MS):
        video = publisher.send_video()
        if step % 100 < 60:  # 2.4 s of each 4 s
            audio = timeline.audio(sound_ms, publisher.now)
            sound_ms += FRAME_MS
        publisher.now += FRAME_MS / 1000
        publisher.time_ms += FRAME_MS
    assert video.dts_ms - audio.dts_ms < MAX_STEP_AHEAD_MS


def test_pictures_that_are_far_apart_disturb_nothing() -> None:
    timeline = Timeline()
    for at_ms in range(0, 200_000, 20):
        now = 100 + at_ms / 1000
        assert timeline.audio(at_ms, now) == Stamp(at_ms)
        if at_ms % 30_000 == 0:
            assert timeline.video(at_ms, now) == Stamp(at_ms)


def test_a_new_publisher_lands_at_now() -> None:
    timeline = Timeline()
    publisher = Publisher(timeline)
    publisher.run(25)
    timeline.resume(105.0)
    assert timeline.now_ms(105.0) == 5_000
    newcomer = Publisher(timeline, now=106.0, time_ms=123_456)
    assert newcomer.step() == (Stamp(6_000, discontinuity=True), Stamp(6_000))
    assert [stamp.dts_ms for stamp in newcomer.step()] == [6_040, 6_040]
    assert timeline.offset_ms == 6_000 - 123_456


def test_a_new_publisher_lands_after_the_last_picture_shown() -> None:
    """One sent faster than real time, with B-frames: its last PTS lies ahead of now."""
    timeline = Timeline()
    for at in range(0, 2_000, 40):
        timeline.video(at, 100.0, 80)
    assert timeline.end_ms == 2_040
    timeline.resume(100.0)
    assert timeline.video(0, 100.0).dts_ms == 2_041


def test_a_new_publisher_after_one_that_sent_nothing_passes_through() -> None:
    timeline = Timeline()
    timeline.resume(50.0)
    assert timeline.video(4_000, 60.0) == Stamp(4_000)


def test_what_arrives_before_the_landing_of_its_kind_stays_in_order() -> None:
    timeline = Timeline()
    Publisher(timeline).run(25)
    timeline.resume(101.0)
    first = timeline.audio(500, 101.0)
    assert first == Stamp(1_000, discontinuity=True)
    assert timeline.video(480, 101.0) == Stamp(980)
    timeline.resume(101.0)
    assert timeline.video(0, 101.0).dts_ms == 1_001


def test_now_follows_a_publisher_whose_clock_is_slow() -> None:
    """Losing a second in ten minutes: without following, a return would land a second off."""
    timeline = Timeline()
    slow = 0.998
    for index in range(15_000):
        timeline.video(int(index * FRAME_MS * slow), 100 + index * FRAME_MS / 1000)
    drift_ms = timeline.now_ms(100 + 15_000 * FRAME_MS / 1000) - 15_000 * FRAME_MS * slow
    assert abs(drift_ms) < 60


def test_now_follows_a_publisher_who_stopped_and_went_on_later() -> None:
    timeline = Timeline()
    publisher = Publisher(timeline)
    publisher.run(250)
    publisher.now += 30
    publisher.run(300)
    assert abs(timeline.now_ms(publisher.now) - publisher.time_ms) <= 1


def test_network_jitter_does_not_move_now_back() -> None:
    timeline = Timeline()
    publisher = Publisher(timeline)
    for index in range(500):
        publisher.now += 0.3 if index % 10 == 0 else 0
        publisher.send_video()
        publisher.now -= 0.3 if index % 10 == 0 else 0
        publisher.now += 0.04
        publisher.time_ms += FRAME_MS
        assert abs(timeline.now_ms(publisher.now) - publisher.time_ms) <= (300 if index < 2 else 1)


def test_data_messages_follow_and_never_lead() -> None:
    timeline = Timeline()
    assert timeline.data(9_999, 100.0) == Stamp(0)
    publisher = Publisher(timeline, time_ms=1_000)
    publisher.run(3)
    assert timeline.data(1_050, publisher.now) == Stamp(1_050)
    assert timeline.data(HOUR_MS, publisher.now) == Stamp(1_080)
    assert timeline.data(wrap(-HOUR_MS), publisher.now) == Stamp(1_080)
    assert timeline.offset_ms == 0
    assert publisher.step() == (Stamp(1_120), Stamp(1_120))
    timeline.resume(200.0)
    assert timeline.data(0, 200.0) == Stamp(1_120)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["video", "audio", "data", "resume"]),
            st.integers(0, 2**32 - 1) | st.integers(0, 5_000),
            st.floats(0, 20),
        ),
        max_size=40,
    )
)
def test_whatever_comes_each_kind_strictly_increases(
    events: list[tuple[str, int, float]],
) -> None:
    timeline = Timeline()
    now = 0.0
    sent: dict[str, list[int]] = {"video": [], "audio": []}
    for kind, timestamp, pause in events:
        now += pause
        match kind:
            case "video":
                sent[kind].append(timeline.video(timestamp, now).dts_ms)
            case "audio":
                sent[kind].append(timeline.audio(timestamp, now).dts_ms)
            case "data":
                timeline.data(timestamp, now)
            case _:
                timeline.resume(now)
    for times in sent.values():
        assert all(sooner < later for sooner, later in pairwise(times))
    if times := sent["video"] + sent["audio"]:
        assert timeline.end_ms == max(times)


def test_a_stream_that_ran_elsewhere_goes_on_at_its_now() -> None:
    timeline = Timeline.continuing(ClockReference(7_000, 99.0), 7_900)
    assert timeline.video(123, 105.0).dts_ms == 13_000
    assert timeline.audio(130, 105.01).dts_ms == 13_007


def test_a_stream_that_ran_elsewhere_never_steps_back() -> None:
    timeline = Timeline.continuing(ClockReference(7_000, 99.0), 9_000)
    assert timeline.video(0, 99.5).dts_ms == 9_001


@given(st.integers(-5_000, 5_000), st.integers(1, 60))
def test_a_shifted_time_goes_on_as_it_would_have_so_much_later(by_ms: int, steps: int) -> None:
    one, other = Publisher(Timeline()), Publisher(Timeline())
    one.run(steps)
    other.run(steps)
    other.timeline.shift(by_ms)
    assert other.timeline.now_ms(one.now) == one.timeline.now_ms(one.now) + by_ms
    for mine, theirs in zip(one.run(200), other.run(200), strict=True):
        for a, b in zip(mine, theirs, strict=True):
            assert (b.dts_ms, b.discontinuity) == (a.dts_ms + by_ms, a.discontinuity)
    assert one.timeline.end_ms is not None
    assert other.timeline.end_ms == one.timeline.end_ms + by_ms

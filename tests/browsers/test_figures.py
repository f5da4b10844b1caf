"""Figures of a viewer, by pictures that are sent and shown at known times."""

import pytest

from tests.browsers.figures import STALL_MS, counted, delays_ms, figures, sound_ms
from tests.kit.clients import FlvTag
from tests.kit.clock_publisher import CLIP_S, FPS, PICTURES, PULSES, loop_of

STEP_MS = 1000 / FPS


def sent(seconds: float) -> list[tuple[int, float]]:
    return [(index % PICTURES, index / FPS) for index in range(int(seconds * FPS))]


def shown(seconds: float, delay_ms: float) -> list[tuple[int, float]]:
    return [(number, at_s * 1000 + delay_ms) for number, at_s in sent(seconds)]


def pulses(seconds: float, delay_ms: float, drift_a_s_ms: float = 0.0) -> list[float]:
    return [1000 * at + delay_ms + at * drift_a_s_ms for at in range(int(seconds))]


def test_a_picture_is_the_last_of_its_number_that_had_left() -> None:
    assert delays_ms(sent(40), shown(40, 300)) == pytest.approx([300] * 40 * FPS)
    assert delays_ms([(1, 5.0)], [(1, 4999.0), (2, 6000.0), (1, 5001.0)]) == pytest.approx([1.0])


def test_delays_and_stalls() -> None:
    seen = shown(20, 200)
    seen = [(number, at + (500 if at > 10_000 else 0)) for number, at in seen]
    found = figures(sent(20), seen, [], PULSES, (100, seen[-1][1]))
    assert found.pictures == 20 * FPS
    assert (found.median_ms, found.most_ms) == pytest.approx((700, 700), abs=501)
    assert found.p95_ms == pytest.approx(700)
    assert found.stalls == 1
    assert found.stalled_ms == pytest.approx(500 + STEP_MS)
    assert found.stalls_at_s == (9.9,)
    assert (found.repeated, found.drift_ms) == (0, None)
    assert found.seconds == pytest.approx(20.5, abs=0.1)


@pytest.mark.parametrize("late_ms", [-STALL_MS, -1, 1, 5000])
def test_a_wait_at_either_end_is_a_wait(late_ms: float) -> None:
    seen = shown(20, 200)
    begin, end = seen[0][1], seen[-1][1]
    wait = STALL_MS + late_ms
    is_long = int(late_ms > 0)
    assert figures(sent(20), seen, [], PULSES, (begin - wait, end)).stalls == is_long
    ended = figures(sent(20), seen, [], PULSES, (begin, end + wait))
    assert (ended.stalls, len(ended.stalls_at_s)) == (is_long, is_long)
    assert ended.seconds == pytest.approx((end + wait - begin) / 1000)


def test_pictures_that_come_again_are_counted_and_the_clips_begin_is_none() -> None:
    seen = shown(2 * CLIP_S, 100)
    watched_ms = (0, 2 * CLIP_S * 1000)
    assert figures(sent(2 * CLIP_S), seen, [], PULSES, watched_ms).repeated == 0
    again = sorted([*seen, (seen[50][0], seen[50][1] + 1)], key=lambda one: one[1])
    assert figures(sent(2 * CLIP_S), again, [], PULSES, watched_ms).repeated == 1


@pytest.mark.parametrize("drift_a_s_ms", [0.0, 0.5, -1.0])
def test_sound_that_moves_against_the_pictures_is_found(drift_a_s_ms: float) -> None:
    begin, end = 100, 60_300
    seen, heard = shown(60, 300), pulses(60, 340, drift_a_s_ms)
    found = figures(sent(60), seen, heard, PULSES, (begin, end))
    assert found.drift_ms == pytest.approx(20 * drift_a_s_ms, abs=0.1), "from the half of a minute"
    assert found.sound_ms is not None
    assert found.sound_ms[0] == pytest.approx(40 + 4.5 * drift_a_s_ms)
    assert found.sound_ms[-1] == pytest.approx(40 + 54.5 * drift_a_s_ms)


def test_without_enough_of_the_sound_there_is_no_drift() -> None:
    assert sound_ms(shown(60, 300), pulses(5, 300), PULSES) is None
    assert sound_ms([], pulses(60, 300), PULSES) is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [((), (0, 0)), ((5,), (0, 0)), ((5, 5, 9), (4, 0)), ((5, 9, 2, 3, 0), (7, 2))],
)
def test_a_counter_may_begin_anew(values: tuple[int, ...], expected: tuple[int, int]) -> None:
    assert counted(values) == expected


def test_who_sees_nothing_has_no_figures() -> None:
    with pytest.raises(ValueError, match="no picture"):
        figures(sent(5), [], [], PULSES, (0, 5000))


def test_a_clip_is_sent_again_without_a_seam() -> None:
    header = FlvTag(9, 0, b"\x17\x00")
    media = [FlvTag(9, 21 + 33 * index, b"\x27\x01") for index in range(600)]
    headers, loop = loop_of([header, FlvTag(8, 0, b"\xaf\x01"), *media])
    assert headers == [header]
    assert loop[0].dts_ms == 0
    assert loop[-1].dts_ms < CLIP_S * 1000

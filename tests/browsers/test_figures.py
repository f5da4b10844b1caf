"""Figures of a viewer, by pictures that are sent and shown at known times."""

import pytest

from tests.browsers.figures import delays_ms, drift_ms, figures
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
    found = figures(sent(20), seen, [], PULSES)
    assert found.pictures == 20 * FPS
    assert (found.median_ms, found.most_ms) == pytest.approx((700, 700), abs=501)
    assert found.p95_ms == pytest.approx(700)
    assert found.stalls == 1
    assert found.stalled_ms == pytest.approx(500 + STEP_MS)
    assert (found.repeated, found.drift_ms) == (0, None)
    assert found.seconds == pytest.approx(20.5, abs=0.1)


def test_pictures_that_come_again_are_counted_and_the_clips_begin_is_none() -> None:
    seen = shown(2 * CLIP_S, 100)
    assert figures(sent(2 * CLIP_S), seen, [], PULSES).repeated == 0
    again = sorted([*seen, (seen[50][0], seen[50][1] + 1)], key=lambda one: one[1])
    assert figures(sent(2 * CLIP_S), again, [], PULSES).repeated == 1


@pytest.mark.parametrize("drift_a_s_ms", [0.0, 0.5, -1.0])
def test_sound_that_moves_against_the_pictures_is_found(drift_a_s_ms: float) -> None:
    found = drift_ms(shown(60, 300), pulses(60, 340, drift_a_s_ms), PULSES)
    assert found == pytest.approx(50 * drift_a_s_ms, abs=0.1)


def test_without_enough_of_the_sound_there_is_no_drift() -> None:
    assert drift_ms(shown(60, 300), pulses(5, 300), PULSES) is None
    assert drift_ms([], pulses(60, 300), PULSES) is None


def test_who_sees_nothing_has_no_figures() -> None:
    with pytest.raises(ValueError, match="no picture"):
        figures(sent(5), [], [], PULSES)


def test_a_clip_is_sent_again_without_a_seam() -> None:
    header = FlvTag(9, 0, b"\x17\x00")
    media = [FlvTag(9, 21 + 33 * index, b"\x27\x01") for index in range(600)]
    headers, loop = loop_of([header, FlvTag(8, 0, b"\xaf\x01"), *media])
    assert headers == [header]
    assert loop[0].dts_ms == 0
    assert loop[-1].dts_ms < CLIP_S * 1000

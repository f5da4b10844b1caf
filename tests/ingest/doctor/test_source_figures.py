"""A source's figures of each second, from publishers in virtual time."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from common.config.ladder import SourceFormat
from ingest.doctor.source_figures import SourceFigures, SourceHistory, StreamFacts
from tests.kit.ingest_ports import TEMPLATE, audio_unit, video_unit

FACTS = StreamFacts(TEMPLATE, SourceFormat(1920, 1080), 2_000_000)


@dataclass(frozen=True)
class Publisher:
    """25 pictures and 50 frames of sound a second; each may come later than its time."""

    picture_delay_s: Callable[[float], float] = lambda at: 0.0
    sound_delay_s: Callable[[float], float] = lambda at: 0.0
    gop: int = 50
    fps: Callable[[float], float] = lambda at: 25.0
    composition_ms: Callable[[int], int] = lambda picture: 0
    has_picture: Callable[[float], bool] = lambda at: True
    has_sound: Callable[[float], bool] = lambda at: True


def figures(
    publisher: Publisher, seconds: int = 30, facts: StreamFacts = FACTS
) -> list[SourceFigures]:
    """Those of each second."""
    arrivals: list[tuple[float, bool, int, int]] = []
    at, number = 0.0, 0
    while at < seconds:
        if publisher.has_picture(at):
            came = at + publisher.picture_delay_s(at)
            arrivals.append((came, True, round(at * 1000), number))
        number += 1
        at += 1 / publisher.fps(at)
    for frame in range(seconds * 50):
        at = frame / 50
        if publisher.has_sound(at):
            arrivals.append((at + publisher.sound_delay_s(at), False, round(at * 1000), 0))
    arrivals.sort()
    history, found = SourceHistory(), []
    for second in range(1, seconds + 1):
        while arrivals and arrivals[0][0] < second:
            came, is_picture, ms, number = arrivals.pop(0)
            if is_picture:
                unit = video_unit(
                    ms,
                    key=number % publisher.gop == 0,
                    composition_ms=publisher.composition_ms(number),
                    received_s=100 + came,
                )
                history.counts.picture(unit)
            else:
                history.counts.sound(audio_unit(ms, received_s=100 + came))
        found.append(history.second(facts, 100.0 + second))
    return found


def test_a_good_publisher():
    last = figures(Publisher())[-1]
    assert (last.gop_s, last.set_gop_s, last.pictures) == (2.0, 2.0, 250)
    assert (last.late_share, last.behind_share, last.reorder_ms) == (0, 0, 0)
    assert abs(last.sound_behind_ms) < 40
    assert last.rates == (25.0, 25.0)
    assert last.silent_s is not None
    assert (last.silent_s < 0.1, last.still_s < 0.1) == (True, True)
    assert last.top_bitrate_bps == 700_000


def test_the_running_gop_counts_and_the_longest_of_the_last_half_minute():
    found = figures(Publisher(gop=25 * 8), 12)
    assert [round(f.gop_s) for f in found[:9]] == [1, 2, 3, 4, 5, 6, 7, 8, 8]
    assert figures(Publisher(gop=10_000), 60)[-1].gop_s == pytest.approx(60, abs=0.1)


def test_bursts_are_late_pictures_and_nothing_falls_behind():
    bursts = Publisher(lambda at: 1.0 - at % 1.0, lambda at: 1.0 - at % 1.0)
    last = figures(bursts)[-1]
    assert 0.5 < last.late_share < 0.7
    assert last.behind_share < 0.01


def test_one_stall_is_over_when_it_is_over():
    stall = Publisher(lambda at: max(0.0, 14.0 - at) if at > 10 else 0.0)
    found = figures(stall, 40)
    assert max(f.late_share for f in found) > 0.2
    assert found[-1].late_share == 0


def test_a_network_that_is_too_slow_lets_all_fall_behind():
    slow = Publisher(lambda at: at * 0.1, lambda at: at * 0.1)
    last = figures(slow)[-1]
    assert 0.06 < last.behind_share < 0.14


def test_sound_behind_or_ahead():
    assert figures(Publisher(sound_delay_s=lambda at: 0.5))[-1].sound_behind_ms == pytest.approx(
        500, abs=40
    )
    assert figures(Publisher(lambda at: 0.4))[-1].sound_behind_ms == pytest.approx(-400, abs=40)


def test_rates_vary():
    last = figures(Publisher(fps=lambda at: 30.0 if int(at) % 6 < 3 else 15.0))[-1]
    low, high = last.rates
    assert low == pytest.approx(15, abs=1)
    assert high == pytest.approx(30, abs=1)


def test_b_frames_wait_for_the_pictures_they_refer_to():
    def composition(number: int) -> int:
        return (160, 40, 0, 40)[number % 4]

    assert figures(Publisher(composition_ms=composition))[-1].reorder_ms == 160


def test_what_stops():
    muted = figures(Publisher(has_sound=lambda at: at < 10), 20)[-1]
    assert muted.silent_s == pytest.approx(10, abs=0.2)
    still = figures(Publisher(has_picture=lambda at: at < 10), 20)[-1]
    assert still.still_s == pytest.approx(10, abs=0.2)
    mute = figures(Publisher(has_sound=lambda at: False), 20)[-1]
    omitted = replace(FACTS, is_sound_omitted=True)
    assert figures(Publisher(has_sound=lambda at: False), 20, omitted)[-1].silent_s == 0
    assert mute.silent_s is None
    assert mute.live_s == pytest.approx(19)


def test_of_a_file_that_is_read_slower_arrivals_tell_nothing():
    bursts = Publisher(lambda at: 1.0 - at % 1.0)
    last = figures(bursts, facts=replace(FACTS, is_fast=True))[-1]
    assert (last.late_share, last.behind_share, last.sound_behind_ms) == (0, 0, 0)
    assert last.is_fast

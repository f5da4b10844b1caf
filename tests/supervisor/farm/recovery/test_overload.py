"""A device that falls behind: what is taken, in which order, and given back."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.ipc.identity import StreamId
from supervisor.farm.recovery.overload import (
    BEHIND_S,
    CAUSE_BEHIND_S,
    CAUSE_S,
    CAUSE_WELL_S,
    MAX_WELL_S,
    OVERFLOW_S,
    OVERFLOWS,
    PAUSE_S,
    STEP_S,
    WELL_S,
    CloseDevice,
    DegradationLevel,
    Degrade,
    Load,
    Overload,
    OverloadAction,
)

OLD, NEW, SINGLE = StreamId("live/old"), StreamId("live/new"), StreamId("live/single")


class Device:
    """An overload machine with two or three streams on it, fed four times a second."""

    def __init__(self, streams: Sequence[tuple[StreamId, int]] = ((OLD, 3), (NEW, 3))) -> None:
        self.machine = Overload()
        self.streams = list(streams)
        self.now = 1000.0
        self.dropped = 0
        self.overflows = 0

    def overflow(self, every_s: float, times: int) -> list[OverloadAction]:
        """A short queue is full now and then, and empty again by the next heartbeat."""
        steps: list[OverloadAction] = []
        for _ in range(times):
            self.overflows += 1
            steps += self.run(every_s, behind=False)
        return steps

    def run(self, seconds: float, *, behind: bool, by_drops: bool = False) -> list[OverloadAction]:
        steps: list[OverloadAction] = []
        for _ in range(round(seconds * 4)):
            self.now += 0.25
            self.dropped += behind and by_drops
            queue_ms = 600.0 if behind and not by_drops else 50.0
            loads = [
                Load(stream, float(index), renditions, queue_ms, self.dropped, self.overflows)
                for index, (stream, renditions) in enumerate(self.streams)
            ]
            steps += self.machine.observe(loads, self.now)
        return steps


ORDER = [
    CloseDevice(True),
    Degrade(NEW, DegradationLevel.HALF_RATE),
    Degrade(OLD, DegradationLevel.HALF_RATE),
    Degrade(NEW, DegradationLevel.NO_TOP_RENDITION),
    Degrade(OLD, DegradationLevel.NO_TOP_RENDITION),
    Degrade(NEW, DegradationLevel.PASSTHROUGH),
    Degrade(OLD, DegradationLevel.PASSTHROUGH),
]


@pytest.mark.parametrize("by_drops", [False, True])
def test_steps_are_taken_in_the_stated_order_one_at_a_time(by_drops: bool) -> None:
    device = Device()
    device.run(0.25, behind=False)
    assert device.run(BEHIND_S - 0.25, behind=True, by_drops=by_drops) == []
    assert device.run(0.5, behind=True, by_drops=by_drops) == ORDER[:1]
    for step in ORDER[1:]:
        assert device.run(STEP_S, behind=True, by_drops=by_drops) == [step]
    assert device.run(5 * STEP_S, behind=True, by_drops=by_drops) == []


@pytest.mark.parametrize("gop_s", [1.5, 4.0, 9.0])
def test_queues_that_overflow_time_after_time_are_behind_however_short(gop_s: float) -> None:
    device = Device()
    device.run(0.25, behind=False)
    assert device.overflow(gop_s, OVERFLOWS - 1) == []
    assert device.overflow(gop_s, 1) == ORDER[:1]
    assert device.overflow(gop_s, OVERFLOWS - 1) == []
    assert device.overflow(gop_s, 1) == ORDER[1:2]


def test_an_overflow_now_and_then_is_no_overload() -> None:
    device = Device()
    device.run(0.25, behind=False)
    assert device.overflow(OVERFLOW_S / 2, 10) == []
    device.run(OVERFLOW_S, behind=False)
    assert device.overflow(0.25, 3) == []  # one pause of the host, of several streams


def test_a_moment_behind_changes_nothing() -> None:
    device = Device()
    for _ in range(10):
        assert device.run(BEHIND_S - PAUSE_S - 0.25, behind=True) == []
        assert device.run(PAUSE_S + 0.25, behind=False) == []


def test_what_was_taken_last_is_given_back_first_and_slowly() -> None:
    device = Device()
    device.run(BEHIND_S + 0.25 + 3 * STEP_S, behind=True)
    assert device.machine.degradation(NEW) is DegradationLevel.NO_TOP_RENDITION
    assert device.run(WELL_S, behind=False) == []
    steps = device.run(10 * WELL_S, behind=False)
    assert steps == [
        Degrade(NEW, DegradationLevel.HALF_RATE),
        Degrade(OLD, DegradationLevel.FULL),
        Degrade(NEW, DegradationLevel.FULL),
        CloseDevice(False),
    ]
    assert not device.machine.is_closed


def test_an_undoing_that_does_not_hold_is_tried_less_and_less_often() -> None:
    device = Device()
    device.run(BEHIND_S + 0.25 + STEP_S, behind=True)
    waits = []
    for _ in range(7):
        began = device.now
        while not device.run(0.25, behind=False):
            pass
        waits.append(device.now - began)
        assert device.run(BEHIND_S + STEP_S, behind=True) == [
            Degrade(NEW, DegradationLevel.HALF_RATE)
        ]
    assert waits == sorted(waits)
    assert waits[1] >= 2 * waits[0] - 1
    assert waits[-1] <= MAX_WELL_S + 1


def test_a_single_rendition_is_not_left_out_but_passed_through() -> None:
    device = Device([(SINGLE, 1)])
    steps = device.run(BEHIND_S + 10 * STEP_S, behind=True)
    assert steps == [
        CloseDevice(True),
        Degrade(SINGLE, DegradationLevel.HALF_RATE),
        Degrade(SINGLE, DegradationLevel.PASSTHROUGH),
    ]


def test_streams_that_end_are_forgotten() -> None:
    device = Device()
    device.run(BEHIND_S + 0.25 + STEP_S, behind=True)
    device.streams = [(OLD, 3)]
    assert device.run(WELL_S + 1, behind=False) == [CloseDevice(False)]
    assert device.machine.degradation(NEW) is DegradationLevel.FULL


@given(spells=st.lists(st.tuples(st.booleans(), st.floats(0.25, 30)), max_size=30))
@settings(max_examples=40, deadline=None)
def test_whatever_happens_each_step_is_one_level_and_a_calm_device_gets_all_back(
    spells: list[tuple[bool, float]],
) -> None:
    device = Device()
    known = {OLD: DegradationLevel.FULL, NEW: DegradationLevel.FULL}
    is_closed = False
    for behind, seconds in spells:
        for step in device.run(seconds, behind=behind):
            match step:
                case CloseDevice(closed):
                    assert closed is not is_closed
                    is_closed = closed
                case Degrade(stream, level):
                    assert is_closed
                    assert abs(level - known[stream]) == 1
                    known[stream] = level
    device.run(MAX_WELL_S * 10, behind=False)
    assert not device.machine.is_closed
    assert (
        device.machine.degradation(OLD) is device.machine.degradation(NEW) is DegradationLevel.FULL
    )


def heavy(began_s: float, queue_ms: float, weight: float = 100) -> Load:
    return Load(NEW, 0.0, 2, queue_ms, 0, 0, began_s, weight)


def light(queue_ms: float = 0.0) -> Load:
    return Load(OLD, 0.0, 2, queue_ms, 0, 0, -1000.0, 10)


def run(overload: Overload, loads: list[Load], since_s: float, until_s: float) -> list[Any]:
    """What is taken or undone, with the time of it."""
    found = []
    for tick in range(round(since_s * 4), round(until_s * 4)):
        found += [(tick / 4, step) for step in overload.observe(loads, tick / 4)]
    return found


def test_a_newcomer_that_takes_most_of_a_device_is_passed_through_and_the_device_stays_open() -> (
    None
):
    overload = Overload()
    found = run(overload, [light(500), heavy(98.0, 900)], 100, 101.5)
    assert found == [(100 + CAUSE_BEHIND_S, Degrade(NEW, DegradationLevel.PASSTHROUGH))]
    assert not overload.is_closed
    # it is tried again, later than a step that was taken for no known cause
    found = run(overload, [light(), heavy(98.0, 0)], 101.5, 200)
    assert [step for _, step in found] == [Degrade(NEW, DegradationLevel.FULL)]
    assert found[0][0] >= 100 + CAUSE_WELL_S


@pytest.mark.parametrize(
    "loads",
    [
        [light(500), heavy(100 - CAUSE_S, 900)],  # it ran well for long
        [light(500), heavy(98.0, 900, weight=10)],  # no more than the other
        [heavy(98.0, 900)],  # it harms nobody
    ],
)
def test_without_one_known_cause_the_device_is_closed_first(loads: list[Load]) -> None:
    ((_, step),) = run(Overload(), loads, 100, 104)
    assert step == CloseDevice(True)


def test_a_device_that_is_closed_for_one_opens_when_that_leaves() -> None:
    overload = Overload()
    run(overload, [heavy(98.0, 900)], 100, 104)
    assert overload.is_closed
    assert overload.observe([], 104.0) == [CloseDevice(False)]
    assert not overload.is_closed


def test_a_device_that_is_closed_for_no_known_cause_stays_so_for_a_while() -> None:
    overload = Overload()
    run(overload, [light(900)], 100, 104)
    assert overload.is_closed
    assert overload.observe([], 104.0) == []

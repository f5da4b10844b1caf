"""Sources that become known: a herd without headers, what is announced, what does not fit."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.access.refusal import RefusalReason
from common.config.ladder import Pipeline, SourceFormat, Template
from common.config.settings import DEFAULT_RENDITIONS, Settings, Software
from common.ipc.control_messages import (
    EndStream,
    Placement,
    PublishEnd,
    Refused,
    RequestQueued,
    SourceEstimate,
)
from common.ipc.identity import Generation, StreamId
from supervisor.farm.admission.candidates import QUEUE_S
from supervisor.farm.stream_states import StreamState
from supervisor.placement.cost import NEWCOMER, Resource, newcomer_cost, stream_cost
from tests.kit.children import INGEST0
from tests.kit.farm_rig import HD, SMALL, MakeRig, Rig

CAMERA = SourceFormat(128, 96, fps=Fraction(5))
TINY = SourceFormat(64, 48, fps=Fraction(5))
TEN = 0.83  # room for ten of which nothing is known
FULL_HD = SourceFormat(1920, 1080, fps=Fraction(60))
UHD = SourceFormat(3840, 2160, fps=Fraction(60))
LIVE = Template("live", DEFAULT_RENDITIONS)


def rig_with(make_rig: MakeRig, capacity: float, template: Template = LIVE) -> Rig:
    return make_rig(Settings(software=Software(capacity=capacity), templates=(template,)))


def used(rig: Rig) -> float:
    return rig.farm.state.fleet.used(Resource.CORES)


def herd(rig: Rig, count: int, first: int = 0) -> list[str]:
    """So many publishers at once, of which nothing is known."""
    names = [f"live/cam{number}" for number in range(first, first + count)]
    for name in names:
        rig.ask(name)
    return names


def sent(rig: Rig, kind: type[Placement | Refused]) -> list[str]:
    """The streams to whose ingest such a message went."""
    return [m.stream_id for m in rig.messages(rig.actions) if isinstance(m, kind)]


# ---- a herd without headers --------------------------------------------------------------------


@pytest.mark.parametrize("count", [24, 50, 150])
def test_a_herd_of_small_cameras_is_let_in_at_once_and_all_live(
    make_rig: MakeRig, count: int
) -> None:
    rig = rig_with(make_rig, 200.0)
    names = herd(rig, count)
    assert sent(rig, Placement) == names
    for second in range(4):  # headers after 2, 4, 6, 8 s
        rig.tick(2.0)
        for name in names[second::4]:
            rig.only(rig.format(name, CAMERA), Placement)
    states = {stream.state for stream in rig.farm.state.streams.values()}
    assert states == {StreamState.LIVE}
    assert used(rig) == pytest.approx(count * stream_cost(LIVE, CAMERA).total)


def test_a_herd_beyond_what_unknown_sources_may_have_waits_and_gets_in(make_rig: MakeRig) -> None:
    rig = rig_with(make_rig, TEN)
    names = herd(rig, 24)
    fitting = 10
    assert sent(rig, Placement) == names[:fitting]
    assert rig.waits == [RequestQueued(n + 1, StreamId(names[n]), QUEUE_S) for n in range(10, 24)]
    rig.tick(2.0)
    for name in names[:5]:
        rig.format(name, TINY)
    assert rig.farm.admission.queued == 24 - fitting - 3
    for name in names[5:fitting]:
        rig.format(name, TINY)
    rig.tick(2.0)
    for name in names[fitting:]:
        if name in rig.farm.state.streams:
            rig.format(name, TINY)
    assert sent(rig, Refused) == []
    assert len(rig.farm.state.streams) == 24
    assert used(rig) == pytest.approx(24 * stream_cost(LIVE, TINY).total)


def test_headers_that_never_come_give_their_room_back(make_rig: MakeRig) -> None:
    rig = rig_with(make_rig, TEN)
    names = herd(rig, 12)
    rig.tick(QUEUE_S - 0.1)
    for name in names[:10]:  # ingest ends those: no video within 10 s
        rig.say(INGEST0, PublishEnd(StreamId(name), rig.stream(name).generation, "no video"))
    assert set(rig.farm.state.streams) == set(names[10:])
    for name in names[10:]:
        rig.end(name)
    assert used(rig) == 0


def test_those_who_wait_are_refused_when_their_time_is_over(make_rig: MakeRig) -> None:
    rig = rig_with(make_rig, TEN)
    names = herd(rig, 12)
    rig.tick(QUEUE_S)
    assert sent(rig, Refused) == names[10:]


def test_who_waits_is_refused_at_once_when_all_are_known_and_there_is_no_room(
    make_rig: MakeRig,
) -> None:
    rig = rig_with(make_rig, 51.05)
    rig.ask("live/a")
    rig.estimate("live/a", HD)
    assert rig.ask("live/b") == []
    rig.format("live/a", HD)
    assert sent(rig, Refused) == ["live/b"]


def test_a_large_source_among_small_ones_has_its_room_and_takes_nobodys(make_rig: MakeRig) -> None:
    rig = rig_with(make_rig, 68.0)
    names = herd(rig, 24)
    large = names[7]
    rig.only(rig.format(large, FULL_HD), Placement)
    for name in names:
        if name != large:
            rig.only(rig.format(name, CAMERA), Placement)
    assert sent(rig, Refused) == []


def test_a_second_herd_comes_while_the_first_is_live(make_rig: MakeRig) -> None:
    rig = rig_with(make_rig, 60.0)
    first = herd(rig, 40)
    for name in first:
        rig.format(name, CAMERA)
    before = used(rig)
    second = herd(rig, 40, first=100)
    for name in second:
        rig.only(rig.format(name, CAMERA), Placement)
    assert used(rig) == pytest.approx(2 * before)


# ---- what does not fit -------------------------------------------------------------------------


def test_one_that_does_not_fit_ends_at_its_header_and_nobody_live_loses_anything(
    make_rig: MakeRig,
) -> None:
    rig = rig_with(make_rig, 60.0)
    rig.publish("live/a", HD)
    before = rig.stream("live/a").generation
    rig.only(rig.ask("live/b"), Placement)
    refusal = rig.refused(rig.format("live/b", HD)).refusal
    assert refusal.reason is RefusalReason.FULL
    assert refusal.words == (
        "the farm is full: no room for a source of 1280x720 at 30 fps; publish a smaller one, or "
        "try again later"
    )
    assert "needs 51 of the 8.995 units of cores free on the host (60 in all)" in refusal.detail
    assert "max_source" not in refusal.detail
    assert (rig.stream("live/a").state, rig.stream("live/a").generation) == (
        StreamState.LIVE,
        before,
    )
    assert set(rig.farm.state.streams) == {"live/a"}
    assert "refused: no room for 1280x720 at 30 fps: " in rig.farm.state.history[-1].text


def test_where_an_unknown_rate_is_why_the_refusal_says_so_to_the_operator(
    make_rig: MakeRig,
) -> None:
    rig = rig_with(make_rig, 53.0)
    rig.ask("live/b")
    refusal = rig.refused(rig.format("live/b", replace(HD, fps=None))).refusal
    assert "max_source" not in refusal.words
    assert "counts at the 60 fps of max_source: have the encoder declare its rate" in refusal.detail


def test_one_that_does_not_fit_is_passed_through_where_the_policy_says_so(
    make_rig: MakeRig,
) -> None:
    template = replace(LIVE, policy=(Pipeline.SOFTWARE, Pipeline.PASSTHROUGH))
    rig = rig_with(make_rig, 60.0, template)
    rig.publish("live/a", HD)
    assert rig.publish("live/b", HD).worker is None
    assert rig.publish("live/c", CAMERA).worker is not None


def test_one_that_does_not_fit_takes_the_room_of_publishers_that_are_away(
    make_rig: MakeRig,
) -> None:
    rig = rig_with(make_rig, 60.0)
    rig.publish("live/a", HD)
    rig.beat(INGEST0, publishers=(rig.publisher("live/a", is_live=False),))
    rig.ask("live/b")
    ended, placed = rig.messages(rig.format("live/b", HD))
    assert isinstance(ended, EndStream)
    assert ended.stream_id == "live/a"
    assert placed.worker is not None
    assert set(rig.farm.state.streams) == {"live/b"}


# ---- what is announced -------------------------------------------------------------------------


def test_what_is_announced_is_booked_and_newcomers_wait_for_it_to_be_known(
    make_rig: MakeRig,
) -> None:
    rig = rig_with(make_rig, 51.05)
    rig.ask("live/a")
    assert used(rig) == pytest.approx(newcomer_cost(LIVE).total)
    rig.estimate("live/a", HD)
    assert used(rig) == pytest.approx(stream_cost(LIVE, HD).total)
    assert rig.stream("live/a").state is StreamState.RESERVED
    assert rig.ask("live/b") == []
    corrected, placed = rig.messages(rig.format("live/a", SMALL))
    assert (corrected.stream_id, placed.stream_id) == ("live/a", "live/b")


def test_what_is_announced_gives_way_to_what_is_known(make_rig: MakeRig) -> None:
    rig = rig_with(make_rig, 60.0)
    rig.ask("live/a")
    rig.ask("live/b")
    rig.estimate("live/a", HD)
    rig.only(rig.format("live/b", HD), Placement)
    assert rig.stream("live/b").state is StreamState.LIVE
    assert used(rig) == pytest.approx(stream_cost(LIVE, HD).total)
    rig.only(rig.format("live/a", CAMERA), Placement)


def test_an_announcement_for_which_there_is_no_room_books_nothing(make_rig: MakeRig) -> None:
    rig = rig_with(make_rig, 60.0)
    rig.ask("live/a")
    assert rig.estimate("live/a", UHD) == []
    assert used(rig) == pytest.approx(newcomer_cost(LIVE).total)
    rig.only(rig.format("live/a", CAMERA), Placement)


@pytest.mark.parametrize("when", ["unknown", "known", "another generation"])
def test_an_announcement_of_a_stream_that_needs_none_changes_nothing(
    make_rig: MakeRig, when: str
) -> None:
    rig = rig_with(make_rig, 200.0)
    rig.ask("live/a")
    if when == "known":
        rig.format("live/a", SMALL)
    before = used(rig)
    name = "live/none" if when == "unknown" else "live/a"
    late = when == "another generation"
    generation = Generation(99) if late else rig.stream("live/a").generation
    assert rig.say(INGEST0, SourceEstimate(StreamId(name), generation, UHD)) == []
    assert used(rig) == before


def test_the_next_attempt_of_one_that_was_refused_is_judged_by_the_size_it_had(
    make_rig: MakeRig,
) -> None:
    rig = rig_with(make_rig, 60.0)
    rig.publish("live/a", HD)
    rig.ask("live/b")
    refused = rig.refused(rig.format("live/b", HD))
    again = rig.refused(rig.ask("live/b"))
    assert (again.refusal.words, again.refusal.detail) == (
        refused.refusal.words,
        refused.refusal.detail,
    )
    rig.end("live/a")
    rig.only(rig.ask("live/b"), Placement)
    assert used(rig) == pytest.approx(stream_cost(LIVE, HD).total)


def test_the_next_attempt_may_take_the_room_of_publishers_that_are_away_by_then(
    make_rig: MakeRig,
) -> None:
    rig = rig_with(make_rig, 60.0)
    rig.publish("live/a", HD)
    rig.ask("live/b")
    rig.refused(rig.format("live/b", HD))
    rig.beat(INGEST0, publishers=(rig.publisher("live/a", is_live=False),))
    ended, placed = rig.messages(rig.ask("live/b"))
    assert isinstance(ended, EndStream)
    assert (ended.stream_id, placed.stream_id) == ("live/a", "live/b")


# ---- properties --------------------------------------------------------------------------------

SIZES = st.sampled_from([CAMERA, SMALL, HD, FULL_HD, UHD, NEWCOMER, replace(HD, fps=None)])
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "announce", "know", "end", "wait"]), st.integers(0, 11), SIZES
    ),
    max_size=60,
)


@given(st.sampled_from([5.0, 51.05, 80.0, 200.0]), EVENTS)
def test_what_is_live_is_never_overbooked_and_never_ends_for_a_newcomer(
    capacity: float, events: list[tuple[str, int, SourceFormat]]
) -> None:
    rig = rig_with(Rig, capacity)
    for what, number, source in events:
        name = f"live/{number}"
        stream = rig.farm.state.streams.get(StreamId(name))
        live = {n for n, s in rig.farm.state.streams.items() if s.state is StreamState.LIVE}
        match what:
            case "ask":
                rig.ask(name)
            case "announce" if stream is not None:
                rig.estimate(name, source)
            case "know" if stream is not None and stream.format is None:
                rig.format(name, source)
            case "end" if stream is not None:
                rig.end(name)
                live.discard(StreamId(name))
            case "wait":
                rig.tick(1.0)
        assert used(rig) <= capacity + 1e-6
        assert live <= set(rig.farm.state.streams)
    rig.tick(QUEUE_S)
    assert rig.farm.admission.queued == 0 or rig.farm.state.fleet.has_reservations()

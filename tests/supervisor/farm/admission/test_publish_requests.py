"""Publish requests: placed, queued, refused, remembered."""

from dataclasses import replace
from fractions import Fraction

import pytest

from common.access.refusal import Refusal, RefusalReason
from common.config.ladder import Pipeline, SourceFormat, Template, fit_ladder
from common.config.limits import StreamLimits
from common.config.settings import DEFAULT_RENDITIONS, IngestSettings, Settings, Software
from common.ipc.control_messages import (
    EndStream,
    Placement,
    PublishEnd,
    PublisherBack,
    PublishRequest,
    Refused,
    RequestQueued,
    SourceFormatReport,
    StreamRevoke,
    StreamRevoked,
)
from common.ipc.identity import Generation, StreamId
from common.ipc.status_messages import RenditionStatus
from supervisor.farm.admission.candidates import MAX_QUEUED, NO_ROOM, QUEUE_S, STARTING_S
from supervisor.farm.admission.source_formats import REMEMBER_S
from supervisor.farm.stream_states import StreamState
from supervisor.placement.cost import Resource, stream_cost
from tests.kit.children import CPU0, CPU1, INGEST0, INGEST1
from tests.kit.farm_rig import HD, MakeRig, Rig

SMALL = SourceFormat(640, 360, fps=Fraction(30))
UHD = SourceFormat(3840, 2160, fps=Fraction(60))

IN_USE = Refusal(RefusalReason.NAME_IN_USE, "the stream key is in use")


def with_policy(*policy: Pipeline, capacity: float = 100.0) -> Settings:
    template = Template("live", DEFAULT_RENDITIONS, policy=policy)
    return Settings(software=Software(capacity=capacity), templates=(template,))


def one_of_hd(make_rig: MakeRig) -> Rig:
    """A farm with room for one source of 720p30, and nothing besides."""
    return make_rig(Settings(software=Software(capacity=51.05)))


def one_announced(make_rig: MakeRig) -> Rig:
    """A farm that is full if live/a is what it announces."""
    rig = one_of_hd(make_rig)
    rig.ask("live/a")
    assert rig.estimate("live/a", HD) == []
    return rig


def test_a_reservation_is_answered_at_once_and_corrected_at_the_format(rig: Rig) -> None:
    placed = rig.only(rig.ask(), Placement, INGEST0)
    assert placed.worker in (CPU0, CPU1)
    assert rig.stream().state is StreamState.RESERVED
    assert rig.farm.state.fleet.used(Resource.CORES) < 1
    corrected = rig.only(rig.format(source=SMALL), Placement)
    assert corrected.generation == placed.generation
    cost = stream_cost(rig.stream().template, SMALL).total
    assert rig.farm.state.fleet.used(Resource.CORES) == pytest.approx(cost)
    assert rig.stream().state is StreamState.LIVE


def test_the_same_key_twice_is_refused_while_the_first_is_live(rig: Rig) -> None:
    rig.publish()
    refused = rig.refused(rig.ask())
    assert refused.refusal.reason is RefusalReason.NAME_IN_USE
    assert "already being published" in refused.refusal.words


def test_a_publisher_that_comes_back_gets_the_same_generation(rig: Rig) -> None:
    placed = rig.publish()
    rig.beat(INGEST0, publishers=(rig.publisher(is_live=False),))
    again = rig.only(rig.ask(), Placement)
    assert (again.generation, again.worker) == (placed.generation, placed.worker)
    assert rig.stream().is_live


def limited(make_rig: MakeRig) -> Rig:
    """An address that publishes at ingest:0 all that it may: live/a."""
    ingest = IngestSettings(processes=2, max_publishes_per_address=1)
    rig = make_rig(replace(Settings(), ingest=ingest))
    rig.up(INGEST1)
    rig.publish()
    return rig


def test_an_address_at_its_limit_takes_its_own_stream_over(make_rig: MakeRig) -> None:
    rig = limited(make_rig)
    revoke = rig.only(rig.ask(ingest=INGEST1, is_at_limit=True), StreamRevoke, INGEST0)
    answer = StreamRevoked(revoke.request_id, revoke.stream_id)
    rig.only(rig.say(INGEST0, answer), Placement, INGEST1)


def test_an_address_at_its_limit_gets_no_other_stream(make_rig: MakeRig) -> None:
    rig = limited(make_rig)
    refused = rig.refused(rig.ask("live/b", ingest=INGEST1, is_at_limit=True))
    assert refused.refusal.reason is RefusalReason.DENIED
    assert refused.refusal.words.startswith("1 streams are published from this address")
    mine = rig.ask("live/b", INGEST1, "192.0.2.2:5000", is_at_limit=True)
    rig.only(mine, Placement, INGEST1)


def test_a_limit_that_is_reached_no_more_refuses_nobody(make_rig: MakeRig) -> None:
    """What an ingest was told of the others is a second or two old."""
    rig = limited(make_rig)
    rig.beat(INGEST0, publishers=(rig.publisher(is_live=False),))
    rig.only(rig.ask("live/b", ingest=INGEST1, is_at_limit=True), Placement, INGEST1)
    rig.end()
    rig.end("live/b", ingest=INGEST1)
    rig.only(rig.ask("live/c", ingest=INGEST1, is_at_limit=True), Placement, INGEST1)


def test_an_app_takes_no_more_publishers_than_its_limit(make_rig: MakeRig) -> None:
    live = replace(Settings().templates[0], limits=StreamLimits(publishers=2))
    rig = make_rig(Settings(templates=(live, replace(live, name="tv"))))
    rig.publish("live/a", SMALL)
    rig.publish("live/b", SMALL)
    refusal = rig.refused(rig.ask("live/c")).refusal
    assert refusal.reason is RefusalReason.FULL
    assert "max_publishers" in refusal.words
    rig.publish("tv/c", SMALL)
    rig.beat(INGEST0, publishers=(rig.publisher("live/a", is_live=False),))
    rig.refused(rig.ask("live/c"))  # it is held
    rig.only(rig.ask("live/a"), Placement)  # and its publisher may come back
    rig.end("live/a")
    rig.only(rig.ask("live/c"), Placement)


def test_an_unknown_app_is_refused(rig: Rig) -> None:
    assert rig.refused(rig.ask("nothing/a")).refusal.reason is RefusalReason.NOT_FOUND


def test_when_no_reservation_can_shrink_a_full_farm_refuses_at_once(make_rig: MakeRig) -> None:
    rig = one_of_hd(make_rig)
    rig.publish()
    refusal = rig.refused(rig.ask("live/b")).refusal
    assert refusal.reason is RefusalReason.FULL
    assert refusal.words == NO_ROOM, "publishers are told nothing of the host"
    assert "gpu-only: no such device" in refusal.detail
    assert "cores free on the host (51.05 in all)" in refusal.detail
    assert StreamId("live/b") not in rig.farm.state.streams
    assert "refused" in rig.farm.state.history[-1].text


def test_a_request_is_queued_until_a_reservation_shrinks(
    make_rig: MakeRig,
) -> None:
    rig = one_announced(make_rig)
    assert rig.ask("live/b") == []
    assert rig.waits == [RequestQueued(rig.request, StreamId("live/b"), QUEUE_S)]
    assert rig.farm.admission.queued == 1
    assert rig.farm.next_deadline() == rig.now + QUEUE_S
    corrected, placed = rig.messages(rig.format("live/a", SMALL))
    assert (type(corrected), type(placed)) == (Placement, Placement)
    assert (corrected.stream_id, placed.stream_id) == ("live/a", "live/b")
    assert rig.farm.admission.queued == 0


def test_a_queued_request_is_refused_in_the_end(make_rig: MakeRig) -> None:
    rig = one_announced(make_rig)
    rig.ask("live/b")
    assert rig.tick(QUEUE_S / 2) == []
    assert rig.refused(rig.tick(QUEUE_S / 2)).stream_id == "live/b"


def test_a_second_request_for_a_queued_key_is_refused(make_rig: MakeRig) -> None:
    rig = one_announced(make_rig)
    rig.ask("live/b")
    assert rig.refused(rig.ask("live/b")).refusal.reason is RefusalReason.NAME_IN_USE


def test_a_queued_publisher_that_leaves_is_forgotten(make_rig: MakeRig) -> None:
    rig = one_announced(make_rig)
    rig.ask("live/b")
    rig.say(INGEST0, PublishEnd(StreamId("live/b"), Generation(0), "left"))
    assert rig.farm.admission.queued == 0


def test_requests_wait_for_workers_that_are_being_started(make_rig: MakeRig) -> None:
    rig = make_rig(workers=0)
    rig.expect(CPU0)
    assert rig.ask() == []
    assert rig.only(rig.up(CPU0), Placement).worker == CPU0


def test_nobody_waits_for_a_worker_that_does_not_come_up(make_rig: MakeRig) -> None:
    rig = make_rig(workers=0)
    rig.expect(CPU0)
    rig.now += STARTING_S
    assert "worker:cpu:0 is down" in rig.refused(rig.ask()).refusal.detail


def test_the_queue_is_bounded(make_rig: MakeRig) -> None:
    rig = one_announced(make_rig)
    for index in range(MAX_QUEUED):
        assert rig.ask(f"live/p{index}") == []
    rig.refused(rig.ask("live/late"))


def test_a_source_that_fits_nowhere_is_refused_and_remembered_by_key(make_rig: MakeRig) -> None:
    rig = make_rig(cores=1)
    rig.ask()
    refused = rig.refused(rig.format(source=UHD))
    assert "no room for a source of 3840x2160 at 60 fps" in refused.refusal.words
    assert "publish a smaller one" in refused.refusal.words
    assert "units" not in refused.refusal.words
    assert "needs 121.5 of the 100 units" in refused.refusal.detail
    assert rig.farm.state.fleet.used(Resource.CORES) == 0
    again = rig.refused(rig.ask())
    assert again.refusal.words == refused.refusal.words
    rig.tick(REMEMBER_S)
    rig.only(rig.ask(), Placement)


def test_a_remembered_refusal_ends_when_there_is_room(make_rig: MakeRig) -> None:
    rig = make_rig(cores=1)
    rig.ask()
    rig.refused(rig.format(source=UHD))
    more = replace(Settings(), software=Software(capacity=1000.0))
    rig.farm.configure(more, rig.now)
    rig.only(rig.ask(), Placement)


def test_a_source_larger_than_reserved_moves_to_where_it_fits(make_rig: MakeRig) -> None:
    rig = make_rig(with_policy(Pipeline.SOFTWARE, Pipeline.PASSTHROUGH, capacity=70.0))
    first = rig.only(rig.ask(), Placement)
    moved = rig.only(rig.format(source=UHD), Placement)
    assert moved.generation > first.generation
    assert (moved.worker, moved.renditions) == (None, ())
    assert rig.farm.state.fleet.used(Resource.CORES) == 0


def test_the_format_of_an_unknown_stream_is_refused(rig: Rig) -> None:
    known = SourceFormatReport(9, StreamId("live/none"), Generation(4), SMALL)
    assert rig.refused(rig.say(INGEST0, known)).refusal.reason is RefusalReason.FAILED


def test_passthrough_is_placed_without_a_worker(make_rig: MakeRig) -> None:
    rig = make_rig(with_policy(Pipeline.SOFTWARE, Pipeline.PASSTHROUGH, capacity=0.05))
    placed = rig.only(rig.ask(), Placement)
    assert (placed.worker, placed.renditions) == (None, ())
    assert placed.reason.startswith("passthrough; software: needs")


def test_a_template_without_renditions_is_passthrough_only(make_rig: MakeRig) -> None:
    rig = make_rig(Settings(templates=(Template("live", ()),)))
    assert rig.only(rig.ask(), Placement).worker is None
    assert rig.only(rig.format(), Placement).worker is None


def test_a_policy_that_refuses_refuses(make_rig: MakeRig) -> None:
    rig = make_rig(with_policy(Pipeline.REFUSE))
    assert "policy refuses" in rig.refused(rig.ask()).refusal.detail


def test_a_full_farm_takes_room_from_the_longest_away_publisher_first(make_rig: MakeRig) -> None:
    rig = make_rig(cores=2)
    for key in ("live/a", "live/b", "live/c"):
        rig.publish(key)
    rig.beat(
        INGEST0,
        publishers=(
            rig.publisher("live/a"),
            rig.publisher("live/b", is_live=False),
            rig.publisher("live/c"),
        ),
    )
    rig.now += 1.0
    rig.beat(
        INGEST0,
        publishers=(
            rig.publisher("live/a"),
            rig.publisher("live/b", is_live=False),
            rig.publisher("live/c", is_live=False),
        ),
    )
    rig.only(rig.ask("live/d"), Placement)
    ended, placed = rig.messages(rig.format("live/d", HD))
    assert isinstance(ended, EndStream)
    assert ended.stream_id == "live/b"
    assert isinstance(placed, Placement)
    assert set(rig.farm.state.streams) == {"live/a", "live/c", "live/d"}


def test_nobody_is_evicted_in_vain(make_rig: MakeRig) -> None:
    rig = make_rig(cores=1)
    rig.publish("live/a", SMALL)
    rig.publish("live/b", SMALL)
    rig.beat(
        INGEST0,
        publishers=(rig.publisher("live/a"), rig.publisher("live/b", is_live=False)),
    )
    rig.farm.configure(Settings(software=Software(capacity=20.0)), rig.now)
    rig.ask("live/c")
    rig.refused(rig.format("live/c", HD))
    assert set(rig.farm.state.streams) == {"live/a", "live/b"}


def test_only_those_are_evicted_whose_room_the_newcomer_needs(make_rig: MakeRig) -> None:
    rig = make_rig(cores=2)
    for key, source in (("live/a", SMALL), ("live/b", HD), ("live/c", HD), ("live/d", HD)):
        rig.publish(key, source)
    held: list[str] = []
    for key in ("live/a", "live/b"):  # a is the longest away, and too small
        rig.now += 1.0
        held.append(key)
        keys = ("live/a", "live/b", "live/c", "live/d")
        rig.beat(
            INGEST0,
            publishers=tuple(rig.publisher(k, is_live=k not in held) for k in keys),
        )
    rig.only(rig.ask("live/e"), Placement)
    ended, placed = rig.messages(rig.format("live/e", HD))
    assert isinstance(ended, EndStream)
    assert (ended.stream_id, ended.refusal.is_lasting) == ("live/b", False)
    assert isinstance(placed, Placement)
    assert "live/a" in rig.farm.state.streams


def test_a_publisher_that_is_back_is_not_evicted_as_one_that_is_away(make_rig: MakeRig) -> None:
    rig = one_of_hd(make_rig)
    rig.publish("live/a")
    rig.beat(INGEST0, publishers=(rig.publisher("live/a", is_live=False),))
    generation = rig.stream("live/a").generation
    rig.say(INGEST1, PublisherBack(StreamId("live/a"), generation, "192.0.2.9:1"))
    assert not rig.stream("live/a").is_live, "another ingest's word"
    rig.say(INGEST0, PublisherBack(StreamId("live/a"), generation, "192.0.2.9:1"))
    rig.refused(rig.ask("live/b"))
    assert rig.stream("live/a").address == "192.0.2.9:1"


LOW = replace(HD, fps=Fraction(10))


def test_a_stream_whose_rate_rises_again_stays_where_others_took_its_room(
    make_rig: MakeRig,
) -> None:
    rig = make_rig(cores=1, workers=1)
    rig.publish("live/a", HD)
    placed = rig.only(rig.format("live/a", LOW), Placement)
    rig.publish("live/b", HD)
    again = rig.only(rig.format("live/a", HD), Placement)
    assert (again.worker, again.generation) == (placed.worker, placed.generation)
    assert rig.farm.state.fleet.used(Resource.CORES) > 100, "what it costs is known"
    rig.refused(rig.ask("live/c"))


def test_a_stream_gets_no_more_than_it_was_admitted_with_by_declaring_less(
    make_rig: MakeRig,
) -> None:
    rig = make_rig(cores=1, workers=1)
    rig.publish("live/a", LOW)
    rig.publish("live/b", HD)
    refusal = rig.refused(rig.format("live/a", HD)).refusal
    assert "no room for a source of 1280x720 at 30 fps" in refusal.words


def test_one_whose_rate_rises_again_is_not_passed_through_where_others_took_its_room(
    make_rig: MakeRig,
) -> None:
    rig = make_rig(with_policy(Pipeline.SOFTWARE, Pipeline.PASSTHROUGH), cores=1, workers=1)
    rig.publish("live/a", HD)
    placed = rig.only(rig.format("live/a", LOW), Placement)
    rig.publish("live/b", HD)
    again = rig.only(rig.format("live/a", HD), Placement)
    assert (again.worker, again.generation) == (placed.worker, placed.generation)
    assert rig.only(rig.format("live/a", UHD), Placement).worker is None, "that is more than ever"


def test_less_than_before_fits_also_on_a_farm_beyond_its_limit(make_rig: MakeRig) -> None:
    rig = make_rig(cores=1)
    rig.publish("live/a", HD)
    before = rig.stream("live/a").generation
    rig.farm.configure(Settings(software=Software(capacity=10.0)), rig.now)
    placed = rig.only(rig.format("live/a", replace(HD, fps=Fraction(24))), Placement)
    assert placed.generation == before
    assert placed.worker is not None


@pytest.mark.parametrize(("before", "after"), [((960, 540), (540, 960)), ((1280, 720), (640, 360))])
def test_a_source_that_turns_or_shrinks_costs_what_its_session_makes(
    make_rig: MakeRig, before: tuple[int, int], after: tuple[int, int]
) -> None:
    rig = make_rig(cores=1, workers=1)
    placed = rig.publish("live/a", SourceFormat(*before, fps=Fraction(30)))
    ladder = fit_ladder(rig.stream("live/a").template, SourceFormat(*before, fps=Fraction(30)))
    made = tuple(
        RenditionStatus(rendition.name, rendition.width, rendition.height)
        for rendition in ladder.renditions
    )
    rig.beat(placed.worker, transcodes=(rig.transcode("live/a", renditions=made),))
    used = rig.farm.state.fleet.used(Resource.CORES)
    rig.farm.configure(Settings(software=Software(capacity=used + 1)), rig.now)
    again = rig.only(rig.format("live/a", SourceFormat(*after, fps=Fraction(30))), Placement)
    assert (again.generation, again.renditions) == (placed.generation, placed.renditions)
    assert 0.8 * used < rig.farm.state.fleet.used(Resource.CORES) <= used


def test_a_stream_that_is_passed_through_was_admitted_nowhere(make_rig: MakeRig) -> None:
    rig = make_rig(with_policy(Pipeline.PASSTHROUGH))
    rig.publish()
    assert rig.stream().admitted is None


def test_a_source_that_grows_beyond_all_room_is_still_refused(make_rig: MakeRig) -> None:
    rig = make_rig(cores=1, workers=1)
    rig.publish("live/a", SMALL)
    rig.publish("live/b", HD)
    refusal = rig.refused(rig.format("live/a", HD)).refusal
    assert "no room for a source of 1280x720 at 30 fps" in refusal.words


def test_who_is_queued_when_the_farm_is_closed_is_told_so(make_rig: MakeRig) -> None:
    rig = make_rig(workers=0)
    rig.expect(CPU0)
    assert rig.ask() == []
    rig.operator.drain_all(None, rig.now)
    refused = rig.only(rig.up(CPU0), Refused)
    assert "drain" in refused.refusal.words


def test_requests_of_a_lost_ingest_are_forgotten(make_rig: MakeRig) -> None:
    rig = one_announced(make_rig)
    rig.say(INGEST0, PublishRequest(7, StreamId("live/b"), ""))
    assert rig.farm.admission.queued == 1
    rig.down(INGEST0)
    assert rig.farm.admission.queued == 0
    assert rig.farm.state.streams == {}

"""Sources that become known: what is booked for them is put right, or they are refused. Pure.

Until its size is known a source counts as a small camera (`newcomer_cost`), then as what its
onMetaData announces (`SourceEstimate`), if that fits, and at its sequence header
(`SourceFormatReport`) as what it is. Nothing of it is transcoded before, so nobody live can lose
room to it; and what is booked for it gives way to sources that are known. One that does not fit
moves, takes the room of streams whose publisher is away, or ends.

A refusal after Publish.Start reaches few clients (OBS reads nothing then), so it is remembered by
key: the next attempt within 30 s is refused before Start, unless there is room by then.
"""

from dataclasses import replace

from common.access.credentials import Credentials, is_same_publisher
from common.access.refusal import Refusal, RefusalReason
from common.ipc.control_messages import EndStream, Refused, SourceEstimate, SourceFormatReport
from common.ipc.identity import ChildId, StreamId
from supervisor.farm.actions import Action, Send
from supervisor.farm.admission.candidates import Remembered, evict_for, full
from supervisor.farm.blame.isolation import Isolate, Isolation
from supervisor.farm.blame.unusual_sources import is_large
from supervisor.farm.state import FarmState, why_undecoded
from supervisor.farm.stream import Stream
from supervisor.farm.stream_states import StreamState
from supervisor.placement.fleet import NoRoom, Room, move

_UNKNOWN = Refusal(RefusalReason.FAILED, "the stream is not known here any more; publish again")

REMEMBER_S = 30.0
MAX_REMEMBERED = 1000


class RefusedSources:
    """Refusals after Publish.Start, kept for the next attempt."""

    def __init__(self) -> None:
        self._refused: dict[StreamId, Remembered] = {}

    def remember(self, stream_id: StreamId, refusal: Remembered) -> None:
        self._refused.pop(stream_id, None)
        while len(self._refused) >= MAX_REMEMBERED:
            del self._refused[next(iter(self._refused))]
        self._refused[stream_id] = refusal

    def recall(self, stream_id: StreamId, owner: Credentials) -> Remembered | None:
        """How the last attempt of this publisher ended, if that is not long ago."""
        refused = self._refused.get(stream_id)
        is_its_own = refused is not None and is_same_publisher(refused.owner, owner)
        return refused if is_its_own else None

    def forget_old(self, now: float) -> None:
        self._refused = {k: r for k, r in self._refused.items() if r.until_s > now}


class SourceFormats:
    """Books what sources cost as they become known; the facts are the farm state's."""

    def __init__(self, state: FarmState, isolation: Isolation, refused: RefusedSources) -> None:
        self._state = state
        self._isolation = isolation
        self._refused = refused

    def on_estimate(self, ingest: ChildId, report: SourceEstimate, _: float) -> list[Action]:
        """Book what a publisher announces, as far as there is room; its header decides."""
        stream = self._state.streams.get(report.stream_id)
        if (
            stream is not None
            and (stream.ingest, stream.generation) == (ingest, report.generation)
            and stream.format is None
        ):
            stream.expect(report.format)
            self._state.estimate(stream)
        return []

    def on_format(self, ingest: ChildId, report: SourceFormatReport, now: float) -> list[Action]:
        """Correct a reservation; move the stream, or refuse it, when it does not fit."""
        state = self._state
        stream = state.streams.get(report.stream_id)
        if stream is None or stream.ingest != ingest:
            return [Send(ingest, Refused(report.request_id, report.stream_id, _UNKNOWN))]
        is_freed = stream.learn_format(report.format, report.codec, now)
        apart = self._try_apart(stream, now)
        if isinstance(apart, NoRoom):
            return [self._refuse_format(ingest, stream, report, apart.reason, now)]
        if apart is not None:
            return [*apart, state.announce(stream, report.request_id)]
        is_given_up = stream.state is StreamState.SOURCE_ONLY and is_freed
        is_elsewhere = self._is_decoded_elsewhere(stream)
        if stream.is_between_workers or (
            state.correct(stream) and not (is_given_up or is_elsewhere)
        ):
            return [state.announce(stream, report.request_id)]
        actions, why_not = self._fit_elsewhere(stream, is_given_up=is_given_up, now=now)
        if why_not:
            return [self._refuse_format(ingest, stream, report, why_not, now)]
        return [*actions, state.announce(stream, report.request_id)]

    def _is_decoded_elsewhere(self, stream: Stream) -> bool:
        """Whether a newcomer's source is for another device than the one that it was placed on.

        Where none is left it is tried where it is: that device says why not, in its own words.
        """
        state = self._state
        here = state.device_of(stream)
        device = state.fleet.devices.get(here) if here is not None else None
        return (
            stream.state is StreamState.RESERVED
            and bool(why_undecoded(stream, device))
            and state.has_device_left(stream)
        )

    def _try_apart(self, stream: Stream, now: float) -> list[Action] | NoRoom | None:
        """Have a newcomer whose source is out of the usual begin on a worker apart; None: not it.

        Nothing of it has been decoded anywhere yet. Without room for that it goes among the others,
        but for one that is large.
        """
        if stream.state is not StreamState.RESERVED or stream.dedicated_worker is not None:
            return None
        if not self._isolation.why_unusual(stream):
            return None
        is_for_good = stream.format is not None and is_large(stream.format)
        found = self._isolation.look(stream, now)
        if not isinstance(found, Isolate):
            return NoRoom(found.why_not) if found is not None and is_for_good else None
        actions = self._isolation.begin(stream, found, now)
        result = self._state.find_room(stream)
        if not isinstance(result, NoRoom):
            self._state.put(stream, result, now)
        elif not self._state.fleet.devices[found.worker].is_up:
            stream.wait(f"{found.worker} starts")
        elif is_for_good:
            return result
        else:
            self._isolation.rejoin(stream, result.reason, now)
            return None
        return actions

    def _fit_elsewhere(
        self, stream: Stream, *, is_given_up: bool, now: float
    ) -> tuple[list[Action], str]:
        """Find room for what a source really costs; why there is none, and it has to go."""
        state = self._state
        # That its rate was lower for a while gave others no right to its room.
        was_admitted = not is_given_up and stream.is_admitted(stream.cost_here())
        fleet = state.fleet.without_reservations()
        result: Room | NoRoom
        if was_admitted:
            result = state.find_room(stream, fleet)  # never source only: it stays
        else:
            need = state.need(stream)
            result = move(fleet, stream.generation, need, state.excluded(stream))
        if not isinstance(result, NoRoom):
            state.put(stream, result, now)
        elif is_given_up:
            stream.wait(result.reason)
        elif was_admitted:
            state.stay(stream)
        else:
            actions = self._make_room(stream, now)
            return (actions, "") if actions is not None else ([], result.reason)
        return [], ""

    def _make_room(self, stream: Stream, now: float) -> list[Action] | None:
        """Give a source that is known other streams' room, if that is to be had; None: it is not.

        That of streams whose publisher is away; for a poison stream, among the others.
        """
        state = self._state
        if stream.dedicated_worker is None:
            found = evict_for(state, stream)
            if found is None:
                return None
            actions: list[Action] = [evict(state, victim, now) for victim in found.victims]
            state.put(stream, found.room, now)
            return actions
        without = self._isolation.fleet_without(stream)
        if without is None:
            return None
        need = state.need(replace(stream, dedicated_worker=None))
        result = move(without, stream.generation, need)
        if isinstance(result, NoRoom):
            return None
        self._isolation.rejoin(stream, "its dedicated worker has no room for it", now)
        state.put(stream, result, now)
        return []

    def _refuse_format(
        self,
        ingest: ChildId,
        stream: Stream,
        report: SourceFormatReport,
        why_not: str,
        now: float,
    ) -> Send:
        """A source that fits nowhere ends, and its next attempt is refused before Start."""
        state = self._state
        state.close(stream)
        source = report.format
        words = (
            f"the farm is full: no room for a source of {source.described}; publish a smaller one, "
            "or try again later"
        )
        detail = why_not
        if source.fps is None:
            detail += (
                f"; its rate is not known, so it counts at the {stream.template.max_source[2]} fps "
                "of max_source: have the encoder declare its rate, or lower max_source"
            )
        remembered = Remembered(now + REMEMBER_S, words, source, detail, stream.owner)
        self._refused.remember(report.stream_id, remembered)
        state.note(report.stream_id, f"refused: no room for {source.described}: {detail}", now)
        return Send(ingest, Refused(report.request_id, report.stream_id, full(words, detail)))


def evict(state: FarmState, victim: Stream, now: float) -> Send:
    """End a stream whose publisher is away, for another's room."""
    text = "gave its room to another publisher while its own was away"
    ingest = victim.ingest
    state.close(victim)
    state.note(victim.stream_id, text, now)
    return Send(ingest, EndStream(victim.stream_id, full(text)))

"""Compares the sessions that workers report with those that they were given, and mends it. Pure.

A stream's ingest begins and ends its sessions, so nothing between these two shows the supervisor
that one is gone, or was left behind by an ingest that died with its supervisor. Each heartbeat of
a worker names all of its sessions; what is amiss in many of them in a row is amiss. Heartbeats are
counted, not seconds: none may have come for long. But many may come at once, which waited while
this process slept and say what was: they show nothing of a stream that was placed since.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from common.config.ladder import is_turned
from common.ipc.control_messages import IngestLost
from common.ipc.identity import ChildId, Generation, StreamId
from common.ipc.status_messages import TranscodeStatus
from common.process.log import stream_label
from supervisor.farm.actions import Action, Send
from supervisor.farm.recovery.lost_workers import Recovery
from supervisor.farm.recovery.migration import Migration
from supervisor.farm.state import FarmState
from supervisor.farm.stream import NO_INGEST, Stream
from supervisor.farm.stream_states import StreamState
from supervisor.farm.worker import Worker

log = logging.getLogger("tfarm.supervisor.farm.recovery.session_audit")

# At four heartbeats a second.
MISSING_BEATS = 40  # far beyond an ingest's way to a worker that is placed on
ORPHAN_BEATS = 120  # beyond any migration: the session that is left ends at its splice point
# An encoder that fails is opened anew at the first keyframe a second later. Where keyframes are
# further apart, players of the rendition are sent away meanwhile: nothing comes to them anyway.
LOST_RENDITION_BEATS = 20
TURNED_BEATS = 2
# Since the stream was placed: a little less than so many heartbeats take.
MISSING_S = 9.5
ORPHAN_S = 29.0


@dataclass(frozen=True, slots=True)
class MissingSession:
    """A stream that is placed on the worker, and for which it has no session."""

    stream_id: StreamId
    generation: Generation


@dataclass(frozen=True, slots=True)
class OrphanSession:
    """A session of a placement that is no stream's, or another worker's."""

    stream_id: StreamId
    generation: Generation


@dataclass(frozen=True, slots=True)
class LostRendition:
    """A rendition that its worker should make and does not."""

    stream_id: StreamId
    generation: Generation
    name: str


@dataclass(frozen=True, slots=True)
class FoundRendition:
    """One that was lost and is made again."""

    stream_id: StreamId
    generation: Generation
    name: str


@dataclass(frozen=True, slots=True)
class Unannounced:
    """A session whose renditions are not those that this supervisor had announced, if it had any.

    An earlier one may have seen renditions lost that are made by now, and the source may have
    changed its size before the session was open. `lost`: what it does not make at the moment.
    """

    stream_id: StreamId
    generation: Generation
    lost: frozenset[str] = frozenset()  # only where nothing had been announced


@dataclass(frozen=True, slots=True)
class TurnedSource:
    """A session whose frames are upright while its source lies by now, or the other way round."""

    stream_id: StreamId
    generation: Generation


Finding = (
    MissingSession | OrphanSession | LostRendition | FoundRendition | Unannounced | TurnedSource
)
_BEATS = {
    MissingSession: MISSING_BEATS,
    OrphanSession: ORPHAN_BEATS,
    LostRendition: LOST_RENDITION_BEATS,
    FoundRendition: 1,
    Unannounced: 1,
    TurnedSource: TURNED_BEATS,
}
_PLACED_S: dict[type, float] = {MissingSession: MISSING_S, OrphanSession: ORPHAN_S}


class SessionAudit:
    """The audit of all workers; the facts are the farm state's."""

    def __init__(self, state: FarmState, recovery: Recovery, migration: Migration) -> None:
        self._state = state
        self._recovery = recovery
        self._migration = migration

    def observe(
        self, worker: Worker, transcodes: Sequence[TranscodeStatus], now: float
    ) -> list[Action]:
        """A heartbeat: mend what has been amiss for long enough, and again if it stays amiss."""
        before, worker.findings = worker.findings, {}
        amiss: list[Finding] = []
        for finding in self._findings(worker.name, transcodes):
            count = before.get(finding, 0) + 1
            kind = type(finding)
            if count >= _BEATS[kind] and self._placed_for(finding, now) >= _PLACED_S.get(kind, 0):
                amiss.append(finding)
                count = 0
            worker.findings[finding] = count
        return [action for finding in amiss for action in self._mend(worker.name, finding, now)]

    def _mend(self, worker: ChildId, finding: Finding, now: float) -> list[Action]:
        state = self._state
        if isinstance(finding, OrphanSession):
            return [self._end_orphan(worker, finding, now)]
        stream = state.streams.get(finding.stream_id)
        if stream is None:
            return []  # it ended with what was found before
        match finding:
            case MissingSession():
                return self._recovery.session_missing(stream, now)
            case LostRendition(_, _, name):
                return self._set_lost(stream, stream.lost_renditions | {name}, now)
            case FoundRendition(_, _, name):
                return self._set_lost(stream, stream.lost_renditions - {name}, now)
            case Unannounced(_, _, lost):
                if stream.announced is None:
                    state.stay(stream)  # adopted: now it is known what it makes
                if lost:
                    return self._set_lost(stream, lost, now)
                return [state.announce(stream)]
            case TurnedSource():
                return self._migration.renew(stream, now)

    def _end_orphan(self, worker: ChildId, orphan: OrphanSession, now: float) -> Action:
        """End a session that is nobody's."""
        text = "no stream is placed here under this generation"
        log.warning(
            "orphan session ended stream=%s generation=%d worker=%s",
            stream_label(orphan.stream_id),
            orphan.generation,
            worker,
        )
        note = f"generation {orphan.generation} ended at {worker}: {text}"
        self._state.note(orphan.stream_id, note, now)
        return Send(worker, IngestLost(orphan.stream_id, orphan.generation, text, 0))

    def _set_lost(self, stream: Stream, lost: frozenset[str], now: float) -> list[Action]:
        """Announce the renditions: egress ends those that are not made for their players."""
        stream.lose_renditions(lost)
        words = f"without {', '.join(sorted(lost))}: lost" if lost else "no rendition lost any more"
        self._state.note(stream.stream_id, words, now)
        return [self._state.announce(stream)]

    def _placed_for(self, finding: Finding, now: float) -> float:
        """How long its stream, if there is one, has been where it is."""
        stream = self._state.streams.get(finding.stream_id)
        return now - stream.placed_s if stream is not None else math.inf

    def _findings(
        self, worker: ChildId, transcodes: Sequence[TranscodeStatus]
    ) -> Iterator[Finding]:
        reported = {(status.stream_id, status.generation): status for status in transcodes}
        here = self._state.on_device(worker)
        for stream in here:
            status = reported.pop((stream.stream_id, stream.generation), None)
            if status is not None:
                yield from _renditions(stream, status)
                if _is_turned(stream, status):
                    yield TurnedSource(stream.stream_id, stream.generation)
            elif _has_begun(stream):
                yield MissingSession(stream.stream_id, stream.generation)
        for key in reported:
            yield OrphanSession(*key)


def _renditions(
    stream: Stream, status: TranscodeStatus
) -> Iterator[LostRendition | FoundRendition | Unannounced]:
    omitted, renditions = {entry.name for entry in status.omitted}, stream.renditions()
    if status.renditions and stream.announced is None:
        lost = omitted.intersection(renditions)
        yield Unannounced(stream.stream_id, stream.generation, frozenset(lost))
        return
    if status.renditions and stream.announced != renditions:
        yield Unannounced(stream.stream_id, stream.generation)
    for name in renditions:
        if name in omitted:
            yield LostRendition(stream.stream_id, stream.generation, name)
    for name in stream.lost_renditions - omitted:
        yield FoundRendition(stream.stream_id, stream.generation, name)


def _is_turned(stream: Stream, status: TranscodeStatus) -> bool:
    source = stream.format
    made = {rendition.name: (rendition.width, rendition.height) for rendition in status.renditions}
    return source is not None and stream.is_live and is_turned(stream.template, made, source)


def _has_begun(stream: Stream) -> bool:
    """Whether its ingest must have begun a session: there is one that had a picture."""
    had_picture = stream.publisher is not None and stream.publisher.frames > 0
    return stream.state is StreamState.LIVE and stream.ingest != NO_INGEST and had_picture

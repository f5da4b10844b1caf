"""Compares what workers say they run with what they were given. Pure.

A stream's ingest begins and ends its sessions, so nothing between these two tells the supervisor
that one is gone, or was left behind by an ingest that died with its supervisor. Each heartbeat of
a worker names all of its sessions; what is amiss in many of them in a row is amiss. Heartbeats are
counted, not seconds: none may have come for long. But many may come at once, which waited while
this process slept and say what was: they tell nothing of a stream that was placed since.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from common.ipc.control_messages import TranscodeStatus
from common.ipc.identity import ChildId, Generation, StreamId
from supervisor.farm.state import FarmState
from supervisor.farm.stream import NO_INGEST, Stream, StreamState

# At four heartbeats a second.
FORGOTTEN_BEATS = 40  # far beyond an ingest's way to a worker that is placed on
STRAY_BEATS = 120  # beyond any move: the session that is left ends with its cut
# An encoder that fails is opened anew at the first keyframe a second later. Where keyframes are
# further apart, players of the rendition are sent away meanwhile: nothing comes to them anyway.
LOST_RENDITION_BEATS = 20
# Since the stream was placed: a little less than so many heartbeats take.
FORGOTTEN_S = 9.5
STRAY_S = 29.0


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


Finding = MissingSession | OrphanSession | LostRendition | FoundRendition | Unannounced
_BEATS = {
    MissingSession: FORGOTTEN_BEATS,
    OrphanSession: STRAY_BEATS,
    LostRendition: LOST_RENDITION_BEATS,
    FoundRendition: 1,
    Unannounced: 1,
}
_PLACED_S: dict[type, float] = {MissingSession: FORGOTTEN_S, OrphanSession: STRAY_S}


class SessionAudit:
    """Of all workers; the facts are the roster's."""

    def __init__(self, roster: FarmState) -> None:
        self._roster = roster
        self._beats: dict[ChildId, dict[Finding, int]] = {}  # in a row

    def forget(self, worker: ChildId) -> None:
        """It is gone: its successor begins with nothing."""
        self._beats.pop(worker, None)

    def heard(
        self, worker: ChildId, transcodes: Sequence[TranscodeStatus], now: float
    ) -> list[Finding]:
        """A heartbeat; what has been amiss for long enough. What stays amiss is told again."""
        before = self._beats.get(worker, {})
        beats: dict[Finding, int] = {}
        amiss: list[Finding] = []
        for finding in self._findings(worker, transcodes):
            count = before.get(finding, 0) + 1
            kind = type(finding)
            if count >= _BEATS[kind] and self._placed_for(finding, now) >= _PLACED_S.get(kind, 0):
                amiss.append(finding)
                count = 0
            beats[finding] = count
        self._beats[worker] = beats
        return amiss

    def _placed_for(self, finding: Finding, now: float) -> float:
        """How long its stream, if there is one, has been where it is."""
        stream = self._roster.streams.get(finding.stream_id)
        return now - stream.placed_s if stream is not None else math.inf

    def _findings(
        self, worker: ChildId, transcodes: Sequence[TranscodeStatus]
    ) -> Iterator[Finding]:
        told = {(status.stream_id, status.generation): status for status in transcodes}
        here = self._roster.on_device(worker)
        for stream in here:
            status = told.pop((stream.stream_id, stream.generation), None)
            if status is not None:
                yield from _renditions(stream, status)
            elif _has_begun(stream):
                yield MissingSession(stream.stream_id, stream.generation)
        for key in told:
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


def _has_begun(stream: Stream) -> bool:
    """Whether its ingest must have begun a session: there is one that had a picture."""
    had_picture = stream.publisher is not None and stream.publisher.frames > 0
    return stream.state is StreamState.LIVE and stream.ingest != NO_INGEST and had_picture

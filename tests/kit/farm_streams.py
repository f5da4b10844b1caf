"""Streams of the farm in whatever state a test wants."""

from common.config.ladder import Template
from common.config.settings import DEFAULT_RENDITIONS
from common.ipc.identity import Generation, StreamId
from supervisor.farm.stream import Present, Stream
from supervisor.farm.stream_states import (
    Phase,
    Plain,
    SourceOnly,
    StreamState,
    Switching,
    Waiting,
)
from tests.kit.children import INGEST0


def phase_of(state: StreamState) -> Phase:
    """A state with what belongs to it."""
    match state:
        case StreamState.SWITCHING:
            return Switching(request_id=1, deadline_s=100.2, pending=set())
        case StreamState.WAITING:
            return Waiting(resume_after_ms=5_000)
        case StreamState.SOURCE_ONLY:
            return SourceOnly()
        case _:
            return Plain(state)


def stream_in(state: StreamState) -> Stream:
    """A stream of generation 3 in this state, its source not known."""
    template = Template("live", DEFAULT_RENDITIONS)
    stream = Stream(StreamId("live/cam"), template, Present(INGEST0), "192.0.2.1:5000", 100.0)
    stream.generation, stream.phase = Generation(3), phase_of(state)
    return stream

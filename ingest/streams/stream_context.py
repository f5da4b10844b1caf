"""What every stream of an ingest works with. Values; pure."""

from collections.abc import Callable
from dataclasses import dataclass, field

from common.process.stage_times import StageDelays
from ingest.demand.cold_starts import ColdStarts
from ingest.outputs.outbox import Peers
from ingest.streams.epochs import Epochs


@dataclass(frozen=True, slots=True)
class StreamContext:
    """What a stream works with."""

    peers: Peers
    report: Callable[[object], object]  # a control message to the supervisor
    next_request: Callable[[], int]
    clock: Callable[[], float]  # CLOCK_MONOTONIC, to measure the time that is spent here
    unix_time: Callable[[], float]
    delays: StageDelays = field(default_factory=StageDelays)  # of all streams
    epochs: Epochs = field(default_factory=Epochs)  # of those that were here
    cold_starts: ColdStarts = field(default_factory=ColdStarts)  # of all streams

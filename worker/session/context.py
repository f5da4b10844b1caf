"""What all sessions of a worker share (IO: threads)."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from common.ipc.identity import Generation, StreamId
from common.process.stage_times import StageDelays
from common.sei.utc import UtcStamps
from worker.devices.backend import Backend
from worker.quality.measurer import Measurer
from worker.session.encoder_limit import EncoderLimit
from worker.session.events import Event
from worker.session.load import StreamLoad
from worker.threads import JobThread, SessionThreads

SessionKey = tuple[StreamId, Generation]


@dataclass(frozen=True, slots=True)
class SessionContext:
    """All that a session needs of its worker."""

    backend: Backend
    threads: SessionThreads
    opener: JobThread  # opens and closes sessions, one after the other
    load: StreamLoad
    post: Callable[[SessionKey, Event], None]  # from any thread
    has_players: Callable[[StreamId], bool]  # from any thread: whether somebody plays any of it
    shares_pictures: bool = False  # encoder processes encode them
    device_lock: threading.Lock = field(default_factory=threading.Lock)  # while something opens
    encoder_limit: EncoderLimit = field(default_factory=EncoderLimit)
    measurer: Measurer = field(default_factory=Measurer)
    clock: Callable[[], float] = time.monotonic
    cpu_clock: Callable[[], float] = time.thread_time
    delays: StageDelays = field(default_factory=StageDelays)  # of all sessions
    unix_time: Callable[[], float] = time.time

    def utc_stamps(self) -> UtcStamps:
        """What a template with `utc` has said on its pictures."""
        return UtcStamps(self.clock, self.unix_time)

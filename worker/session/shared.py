"""What the threads of one session's pipeline share (IO: a lock)."""

import threading
from dataclasses import dataclass, field

from worker.session.input_queue import StreamQueue


@dataclass(slots=True)
class Shared:
    """What a pipeline's threads share; `lock` is held to change it."""

    queue: StreamQueue
    lock: threading.Lock = field(default_factory=threading.Lock)
    is_running: bool = False
    place_freed: threading.Condition = field(init=False)  # one of a pool's; of the same lock

    def __post_init__(self) -> None:
        self.place_freed = threading.Condition(self.lock)

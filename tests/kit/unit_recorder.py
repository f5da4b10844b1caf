"""A subscriber for the tests: it records the units that it is given, and may be slow or broken.

Like an output of a server it keeps a bounded queue of its own: what is not read in time is dropped
up to a keyframe, and behind a gap it begins anew with the configuration.
"""

from collections import deque
from collections.abc import Sequence

from egress.streams.tag import VIDEO, Config, Tag


class UnitRecorder:
    """Records what comes, one word each: "C" a configuration, "v40K" a keyframe, "a40" sound.

    `read` empties its queue; one that nobody reads holds `queue_ms` of media at most.
    """

    def __init__(self, queue_ms: int = 1_000_000) -> None:
        self.config: Config | None = None
        self.ended: str | None = None
        self.dropped = 0
        self.largest_batch = 0
        self.fails_with: Exception | None = None
        self._queue_ms = queue_ms
        self._queue: deque[Config | Tag] = deque()
        self._needs_key = True

    # ---- the subscriber -----------------------------------------------------------------------

    def on_config(self, config: Config, /) -> None:
        self._fail()
        self.config = config
        if not self._needs_key:
            self._queue.append(config)

    def on_units(self, tags: Sequence[Tag], /) -> None:
        self._fail()
        assert self.config is not None, "units without a configuration"
        self.largest_batch = max(self.largest_batch, len(tags))
        for tag in tags:
            self._put(tag, self.config)

    def on_end(self, reason: str, /) -> None:
        self._fail()
        assert self.ended is None, "ended twice"
        self.ended = reason

    # ---- the reader ---------------------------------------------------------------------------

    @property
    def lag_ms(self) -> int:
        times = [item.dts_ms for item in self._queue if isinstance(item, Tag)]
        return max(times) - min(times) if times else 0

    def read(self) -> list[str]:
        """What came since the last call, but for what was dropped."""
        words = ["C" if isinstance(item, Config) else _word(item) for item in self._queue]
        self._queue.clear()
        return words

    def units(self) -> list[bytes]:
        """The coded data of the same."""
        units = [item.unit() for item in self._queue if isinstance(item, Tag)]
        self._queue.clear()
        return [bytes(unit.data) for unit in units if unit is not None]

    def _put(self, tag: Tag, config: Config) -> None:
        if self._needs_key:
            if not tag.is_key:
                self.dropped += 1
                return
            self._needs_key = False
            self._queue.append(config)
        self._queue.append(tag)
        if self.lag_ms > self._queue_ms:
            self.dropped += sum(isinstance(item, Tag) for item in self._queue)
            self._queue.clear()
            self._needs_key = True

    def _fail(self) -> None:
        if self.fails_with is not None:
            raise self.fails_with


def _word(tag: Tag) -> str:
    kind = "v" if tag.type == VIDEO else "a" if tag.codec else "d"
    return f"{kind}{tag.dts_ms}" + ("K" if tag.is_key else "")

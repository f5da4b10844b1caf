"""Viewers who wait for a rendition to start, whatever output they came to. Pure.

An output adds one who asks for what cannot be given yet, and takes it out when it is served, gives
up or leaves. In between it is called whenever the answer may be another one.
"""

from collections.abc import Callable, Hashable, KeysView
from dataclasses import dataclass

from common.ipc.identity import StreamId


@dataclass(frozen=True, slots=True)
class _Waiting:
    """One viewer's rendition, and what to call then."""

    rendition: str
    look_again: Callable[[], object]


class WaitingViewers:
    """Who waits, by stream."""

    def __init__(self) -> None:
        self._by_stream: dict[StreamId, dict[Hashable, _Waiting]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._by_stream.values()))

    def __bool__(self) -> bool:
        return bool(self._by_stream)

    def __contains__(self, stream_id: object) -> bool:
        return stream_id in self._by_stream

    def add(
        self,
        stream_id: StreamId,
        rendition: str,
        viewer: Hashable,
        look_again: Callable[[], object],
    ) -> None:
        """Call `look_again` when the rendition can be started, or the stream's ladder changes."""
        waiting = self._by_stream.setdefault(stream_id, {})
        waiting[viewer] = _Waiting(rendition, look_again)

    def remove(self, stream_id: StreamId, viewer: Hashable) -> None:
        """Call this one no more."""
        waiting = self._by_stream.get(stream_id)
        if waiting is not None:
            waiting.pop(viewer, None)
            if not waiting:
                del self._by_stream[stream_id]

    @property
    def streams(self) -> KeysView[StreamId]:
        """The streams that somebody waits for."""
        return self._by_stream.keys()

    def count(self, stream_id: StreamId) -> int:
        return len(self._by_stream.get(stream_id, ()))

    def renditions(self, stream_id: StreamId) -> set[str]:
        """The renditions of a stream that somebody waits for."""
        return {waiting.rendition for waiting in self._by_stream.get(stream_id, {}).values()}

    def on_start(self, stream_id: StreamId, rendition: str) -> None:
        """Call those who wait for a rendition that can be started."""
        for waiting in tuple(self._by_stream.get(stream_id, {}).values()):
            if waiting.rendition == rendition:
                waiting.look_again()

    def on_stream(self, stream_id: StreamId) -> None:
        """Call all who wait for a stream: its ladder is known, or another one."""
        for waiting in tuple(self._by_stream.get(stream_id, {}).values()):
            waiting.look_again()

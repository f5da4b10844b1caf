"""The way of tags to one egress, which says in return what of them is played (IO).

A wake-up costs an egress more than the tags it is woken for: on a busy host they are pushed out of
the processor's caches in between. So tags that somebody waits for go at once, and the rest batched:
they are there, 0.2 s old at most, for who joins, and from then on come at once too.
"""

from collections.abc import Callable
from typing import Any, Final

from common.ipc.bus import Bus
from common.ipc.identity import StreamId
from common.ipc.media_link import MediaSender
from common.ipc.media_messages import SHARED, Demand

MAX_DEMANDED: Final = 16_384  # streams at one egress: it says of each once that it has players


class TagLink(MediaSender):
    """The way to one incarnation of an egress."""

    def __init__(
        self,
        bus: Bus,
        address: str,
        on_first_player: Callable[[StreamId], None] | None = None,
        *,
        on_demand: Callable[[StreamId], None] | None = None,
        is_plain: bool = False,
    ) -> None:
        """`on_first_player` is called when somebody there begins to play a stream.

        `on_demand`: when others of its renditions are played there than before.
        """
        super().__init__(bus, address, self._on_demand, is_plain=is_plain)
        self._on_first_player = on_first_player
        self._on_change = on_demand
        self._demanded: dict[StreamId, frozenset[str]] = {}

    def has_players(self, stream_id: StreamId, rendition: str) -> bool:
        """Tell if somebody there plays this rendition, or waits for it."""
        demanded = self._demanded.get(stream_id)
        return demanded is not None and (rendition in demanded or rendition == SHARED)

    def demanded(self, stream_id: StreamId) -> frozenset[str]:
        """Return the renditions of a stream that somebody there plays, or waits for."""
        return self._demanded.get(stream_id, frozenset())

    def _on_demand(self, message: Any) -> None:
        if not isinstance(message, Demand):
            return
        had_players = message.stream_id in self._demanded
        if not had_players and len(self._demanded) >= MAX_DEMANDED:
            return
        if message.renditions:
            self._demanded[message.stream_id] = frozenset(message.renditions)
        else:
            self._demanded.pop(message.stream_id, None)
        self.flush()
        if message.renditions and not had_players and self._on_first_player is not None:
            self._on_first_player(message.stream_id)
        if self._on_change is not None:
            self._on_change(message.stream_id)

"""The requests of one connection that wait for the application's answer. Pure.

A peer may end what it asked for before the answer comes; then that answer does nothing.
"""

from dataclasses import dataclass

from common.errors import UsageError
from common.rtmp.events import PlayRequested, PublishRequested


@dataclass(frozen=True, slots=True)
class PendingConnect:
    transaction_id: float
    is_enhanced: bool = False  # it said what it knows of Enhanced RTMP


Request = PendingConnect | PublishRequested | PlayRequested


class Requests:
    """By id, from 1 on."""

    def __init__(self) -> None:
        self.play: PlayRequested | None = None  # the one that waits, and parsing with it
        self.connect: PendingConnect | None = None  # likewise
        self._pending: dict[int, Request] = {}
        self._withdrawn: set[int] = set()
        self._last_id = 0

    def next_id(self) -> int:
        """For a request that is about to be added."""
        self._last_id += 1
        return self._last_id

    def add(self, request_id: int, request: Request) -> None:
        """It waits from now on."""
        self._pending[request_id] = request
        if isinstance(request, PlayRequested):
            self.play = request
        elif isinstance(request, PendingConnect):
            self.connect = request

    def resume(self, play: PlayRequested) -> None:
        """The one request of a session that is restored, under the id that it had."""
        self._last_id = play.request_id
        self.add(play.request_id, play)

    def answer(self, request_id: int) -> Request | None:
        """The request, which waits no more; None if the peer has withdrawn it.

        Raises:
            UsageError: there never was such a request, or it has been answered.
        """
        request = self.forget(request_id)
        if request_id in self._withdrawn:
            self._withdrawn.discard(request_id)
            return None
        if request is None:
            raise UsageError(f"no request {request_id} waits for an answer")
        return request

    def forget(self, request_id: int) -> Request | None:
        """As `answer`, but whatever it is will do."""
        request = self._pending.pop(request_id, None)
        if request is not None and request is self.play:
            self.play = None
        elif request is not None and request is self.connect:
            self.connect = None
        return request

    def withdraw_publish(self) -> None:
        """The peer wants no answer to its publish request; there is one at most."""
        for request_id, request in self._pending.items():
            if isinstance(request, PublishRequested):
                del self._pending[request_id]
                self._withdrawn.add(request_id)
                return

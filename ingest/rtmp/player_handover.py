"""Players on their way to egress (IO): a connection that asks to play is handed over.

Ingest keeps its copy of the socket until egress has answered. While no egress runs, players wait,
some seconds and so many of them; an attempt ends at once when its egress is gone from the topology.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence, Set
from typing import Any

from common.access.refusal import Refusal, RefusalReason
from common.errors import AddressError, EnvelopeError, UsageError
from common.ipc.control_messages import Endpoint
from common.ipc.egress_homes import weight
from common.ipc.identity import ChildId, stream_id
from common.ipc.socket_handover import HandoverAck, HandoverClient
from common.process.log import RateLimit, more
from common.rtmp.address import parse_play
from common.rtmp.events import PlayRequested
from ingest.rtmp.connection import Connection

log = logging.getLogger("tfarm.ingest.rtmp.player_handover")

WAIT_S = 5.0  # from the play request to the answer of egress
MAX_WAITING = 1_000
AT_ONCE = 64  # handovers under way: each takes a descriptor of its own
# An egress that says no may be one that is dying: then its successor is announced soon.
DECLINED_WAIT_S = 0.2

Handovers = Sequence[tuple[ChildId, str]]  # egresses and their Unix sockets


class Players:
    """Every player that waits to be handed over."""

    def __init__(self, spawn: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        """`spawn` starts a task and owns it."""
        self.handed_over = 0
        self.refused = 0
        self._spawn = spawn
        self._handovers: Handovers = ()
        self._retiring: Set[ChildId] = frozenset()
        self._changed = _future()  # done, and replaced, with each topology
        self._log_refusals = RateLimit()
        self._waiting: dict[Connection, PlayRequested] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)

    def __len__(self) -> int:
        return len(self._waiting)

    def follow(self, handovers: Handovers, retiring: Set[ChildId] = frozenset()) -> None:
        """The egresses that run now; those that retire take no new players."""
        self._handovers = handovers
        self._retiring = retiring
        self._changed.set_result(None)
        self._changed = _future()

    def take(self, connection: Connection, request: PlayRequested) -> None:
        """Hand a connection over, or refuse it after a while."""
        self._waiting[connection] = request
        if len(self._waiting) > MAX_WAITING:
            self._refuse(connection, f"{MAX_WAITING} players wait already; try again")
        else:
            self._spawn(self._run(connection, request))

    def close(self, reason: str) -> None:
        """Refuse all who wait, and let their tasks end."""
        self.follow(())
        for connection in list(self._waiting):
            self._refuse(connection, reason)

    async def _run(self, connection: Connection, request: PlayRequested) -> None:
        try:
            await self._hand_over(connection, request)
        except Exception:
            # A bug met by one player must not stay with the others.
            log.exception("handing over failed peer=%s", connection.peer)
            self._waiting.pop(connection, None)
            connection.close("internal error")

    async def _hand_over(self, connection: Connection, request: PlayRequested) -> None:
        if connection not in self._waiting:
            return  # refused before its turn came: the process ends
        deadline = time.monotonic() + WAIT_S
        try:
            snapshot = connection.snapshot()
        except (EnvelopeError, UsageError) as error:
            self._refuse(connection, str(error))
            return
        topology: object = None
        reason = ""
        until = deadline  # how long another topology may change the answer
        declined: set[tuple[ChildId, str]] = set()
        while connection in self._waiting:
            if topology is not self._changed:
                topology = self._changed
                reason, until = "no egress is running; try again", deadline
                declined.clear()
            egress = choose(
                [e for e in self._handovers if e not in declined and e[0] not in self._retiring],
                request,
            )
            if egress is None:
                if await self._topology_changes(until):
                    continue
                break
            ack = await self._attempt(egress, connection, snapshot, deadline)
            if connection not in self._waiting:
                break  # refused meanwhile: the process ends
            if ack is None:
                continue  # that egress is gone; it cannot have the player
            if ack.adopted:
                del self._waiting[connection]
                self.handed_over += 1
                connection.given_away()
                return
            reason = ack.reason
            if time.monotonic() >= deadline:
                # Egress may have it after all: nothing must be written here any more.
                del self._waiting[connection]
                self.refused += 1
                connection.close(f"egress did not take the player: {reason}")
                return
            declined.add(egress)
            until = min(deadline, time.monotonic() + DECLINED_WAIT_S)
        if connection in self._waiting:
            self._refuse(connection, reason)

    async def _attempt(
        self,
        egress: tuple[ChildId, str],
        connection: Connection,
        snapshot: bytes,
        deadline: float,
    ) -> HandoverAck | None:
        """What the egress says; None: it was gone from the topology before it said anything."""
        client = HandoverClient(egress[1])
        sending = asyncio.ensure_future(self._in_turn(client, connection.fd, snapshot, deadline))
        try:
            while egress in self._handovers:
                either: set[asyncio.Future[Any]] = {sending, self._changed}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if sending.done():
                    return sending.result()
            return None
        finally:
            sending.cancel()

    async def _in_turn(
        self, client: HandoverClient, fd: int, snapshot: bytes, deadline: float
    ) -> HandoverAck:
        async with self._turns:
            return await client.send(fd, snapshot, deadline)

    async def _topology_changes(self, deadline: float) -> bool:
        timeout = max(0.0, deadline - time.monotonic())
        done, _ = await asyncio.wait({self._changed}, timeout=timeout)
        return bool(done)

    def _refuse(self, connection: Connection, reason: str) -> None:
        request = self._waiting.pop(connection)
        self.refused += 1
        held_back = self._log_refusals.allow(time.monotonic())
        if held_back is not None:
            others = more(held_back)
            log.warning("play refused peer=%s reason=%s%s", connection.peer, reason, others)
        connection.refuse_play(request.request_id, Refusal(RefusalReason.FAILED, reason))


def handovers_of(endpoints: Sequence[Endpoint]) -> Handovers:
    """Those of the running children that take players."""
    return tuple((end.child, end.handover) for end in endpoints if end.handover)


def choose(handovers: Handovers, request: PlayRequested) -> tuple[ChildId, str] | None:
    """The egress for a player: those of one stream go to the same one (rendezvous hashing)."""
    try:
        address = parse_play(request.app, request.tc_url, request.name)
    except AddressError:
        stream = ""  # any egress can refuse it
    else:
        stream = stream_id(address.app, address.key)

    return max(handovers, key=lambda egress: weight(stream, egress[0]), default=None)


def _future() -> "asyncio.Future[None]":
    return asyncio.get_running_loop().create_future()

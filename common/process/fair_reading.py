"""Reads sockets of peers who are nobody yet, a little of each in turn (IO, an epoll of its own).

What must be read at once is watched by the loop itself. The loop watches this epoll as one more
descriptor, and gives it a short time in each of its turns, behind what it had to read itself: what
is left comes in the next turn. Whose turn it is, who waits and who is refused is decided by
`common/access/fair_turns.py`.
"""

import asyncio
import logging
import select
import time
from collections.abc import Callable
from typing import Final

from common.access.fair_turns import Account, Budget, FairTurns
from common.access.peer_address import Networks
from common.process.log import RateLimit, more

log = logging.getLogger("tfarm.common.process.fair_reading")

READ_BYTES: Final = 4 * 1024  # at a time: half of a handshake and a command, or several commands
TURN_S: Final = 0.003  # of the loop
LEAST_WAIT_S: Final = 0.002
MINUTE_S: Final = 60.0
MAX_LOGGED: Final = 1_000  # addresses whose last line is remembered
FLOODING: Final = "its address sends more than it may before it publishes or while it plays"
_EVENTS: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
_ENDED: Final = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


class Reading:
    """One socket that is read here, until `close`."""

    __slots__ = ("_fair", "_fd", "_is_ended", "_is_ready", "_read", "account", "is_open", "refuse")

    def __init__(
        self,
        fair: "FairReading",
        fd: int,
        host: str,
        read: Callable[[], tuple[int, bool]],
        refuse: Callable[[str], object],
    ) -> None:
        """`read` reads once: how many bytes, and whether there may be more.

        `refuse` gets the reason why the connection has to be ended.
        """
        self.is_open = True
        self.refuse = refuse
        self._fair = fair
        self._fd = fd
        self._read = read
        self._is_ready = False
        self._is_ended = False  # by the peer: its end stands behind what there is to read
        self.account: Account[Reading] = fair.turns.open(host, fair.clock())
        fair.register(fd, self)

    @property
    def is_waiting(self) -> bool:
        """Whether there is something to read."""
        return self._is_ready and self.is_open

    def wake(self) -> None:
        """There is something to read, be it of the socket or not."""
        if not self._is_ready and self.is_open:
            self._is_ready = True
            self._fair.turns.add(self.account, self, self._fair.clock())
            self._fair.go_on()

    def on_events(self, events: int) -> None:
        """The kernel says that something came; it says so once."""
        self._is_ended = self._is_ended or bool(events & _ENDED)
        self.wake()

    def read(self) -> None:
        """Read once, and count what it cost."""
        fair = self._fair
        self._is_ready = False
        before_s = fair.cpu_clock()
        size, has_more = self._read()
        fair.turns.spent(self.account, fair.cpu_clock() - before_s, size)
        if has_more or (self._is_ended and size):
            self.wake()

    def close(self) -> None:
        """Read no more here; to be called before the socket is closed."""
        if self.is_open:
            self.is_open = False
            self._fair.unregister(self._fd)
            self._fair.turns.close(self.account, self)


class FairReading:
    """All sockets of a process that are read in this way."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        share: float,
        each: Budget,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        self.clock = clock
        self.cpu_clock = cpu_clock
        self.turns: FairTurns[Reading] = FairTurns(share, each, clock())
        self._loop = loop
        self._epoll = select.epoll()
        self._readings: dict[int, Reading] = {}
        self._timer: asyncio.Handle | None = None  # of the next turn
        self._is_asked = False  # it comes as soon as it may
        self._logged_s: dict[str, float] = {}
        self._lines = RateLimit()
        loop.add_reader(self._epoll.fileno(), self.go_on)

    def configure(self, each: Budget, exempt: Networks) -> None:
        """Use another budget for an address from now on."""
        self.turns.configure(each, exempt)

    def is_refused(self, host: str) -> bool:
        """Whether nothing is taken of this address for now."""
        return self.turns.is_refused(host, self.clock())

    def check(self) -> None:
        """Refuse who floods; to be called once a second."""
        now = self.clock()
        for peer in self.turns.refuse_flooding(now):
            ended = [r for r in self._readings.values() if r.account.peer == peer and r.is_waiting]
            for reading in ended:
                reading.refuse(FLOODING)
            self._log(peer, len(ended), now)

    def close(self) -> None:
        """Read nothing more."""
        if not self._epoll.closed:
            self._cancel()
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()

    # ---- for Reading --------------------------------------------------------------------------

    def register(self, fd: int, reading: Reading) -> None:
        self._readings[fd] = reading
        if not self._epoll.closed:
            self._epoll.register(fd, _EVENTS)

    def unregister(self, fd: int) -> None:
        del self._readings[fd]
        if not self._epoll.closed:
            self._epoll.unregister(fd)

    def go_on(self) -> None:
        """Take a turn soon, behind what the loop reads itself."""
        if not self._is_asked:
            self._cancel()
            self._is_asked = True
            self._timer = self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._timer = None
        self._is_asked = True  # by this turn itself, at its end
        for fd, events in self._epoll.poll(0):
            reading = self._readings.get(fd)
            if reading is not None:
                reading.on_events(events)
        now = self.clock()
        ends_s = now + TURN_S
        while now < ends_s and (found := self.turns.next(now)) is not None:
            self._read(found[1])
            now = self.clock()
        self._is_asked = False
        wait_s = self.turns.wait_s(now)
        if wait_s is None or self._epoll.closed:
            return
        if wait_s <= 0:
            self.go_on()
        else:
            self._timer = self._loop.call_later(max(wait_s, LEAST_WAIT_S), self._turn)

    def _read(self, reading: Reading) -> None:
        try:
            reading.read()
        except Exception:
            # A bug met by one peer must not stay with the others.
            log.exception("reading failed")
            reading.refuse("internal error")

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _log(self, peer: str, ended: int, now: float) -> None:
        """One line an address and minute."""
        if now - self._logged_s.get(peer, -MINUTE_S) < MINUTE_S:
            return
        if len(self._logged_s) >= MAX_LOGGED:
            self._logged_s.clear()
        self._logged_s[peer] = now
        held_back = self._lines.allow(now)
        if held_back is not None:
            log.warning(
                "address refused for a while address=%s ended=%d reason=%s%s",
                peer,
                ended,
                FLOODING,
                more(held_back),
            )

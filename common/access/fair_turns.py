"""Whose input is read next, and who has used up what its address may use. Pure.

For peers who are nobody yet: a process reads a little of one connection, counts what that cost, and
asks again, for a short time in each turn of its loop. The rules:

- Addresses take turns, whatever the number of their connections: the one that has used least lately
  is next. So a client that comes goes before all that flood, be they few or many.
- All of them together have a part of a core, and those that have used little may overdraw it.
- Each address has a budget of CPU time and of bytes, which fills at a constant rate. Messages,
  values and chunks count by the time that they take. An address that has used it up waits: nothing
  of it is read. One that always had more to send than its budget for long is refused for a while.
- Exempt networks have no budget of their own.

Times are in seconds; `now` is CLOCK_MONOTONIC.
"""

import heapq
import math
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from common.access.peer_address import Networks, subscriber

HALF_LIFE_S = 10.0  # of what an address has used lately
# Less than so much of it is little: a client that comes to publish needs 1 to 3 ms.
LITTLE_S = 0.02
NOTHING_S = 0.000_1
OVERDRAFT_S = 0.2  # of the part of a core of all, for those that have used little
BURST_S = 2.0  # a budget holds what comes in for so long
ALL_BURST_S = 0.1
SOME = 0.05  # of its budget, with which an address that had none is read again
LOOK_S = 0.002  # between looks for those
RESTED = 0.25  # with so much of its budget an address has paused
MAX_WAIT_S = 3.0  # without a pause; then the address is refused …
REFUSED_S = 10.0  # … for so long


@dataclass(frozen=True, slots=True)
class Budget:
    """What comes in a second."""

    cpu_s: float
    size: float  # bytes

    def __post_init__(self) -> None:
        if self.cpu_s <= 0 or self.size <= 0:
            raise ValueError("a budget of nothing")


T = TypeVar("T")


class Account(Generic[T]):
    """What one address has left, and its connections that have something to read."""

    __slots__ = (
        "_counted_s",
        "_cpu_s",
        "_size",
        "_used_s",
        "budget",
        "connections",
        "is_exempt",
        "is_queued",
        "over_since_s",
        "peer",
        "ready",
        "refused_until_s",
    )

    def __init__(self, peer: str, budget: Budget, now: float) -> None:
        self.peer = peer
        self.budget = budget
        self.is_exempt = False
        self.connections = 0
        self.ready: deque[T] = deque()
        self.is_queued = False  # to be read, or waits for its budget
        self.over_since_s: float | None = None  # since when it has not paused
        self.refused_until_s = 0.0
        self._cpu_s = budget.cpu_s * BURST_S
        self._size = budget.size * BURST_S
        self._used_s = 0.0  # lately
        self._counted_s = now

    @property
    def is_used_up(self) -> bool:
        return not self.is_exempt and (self._cpu_s <= 0 or self._size <= 0)

    @property
    def has_used_little(self) -> bool:
        return self._used_s < LITTLE_S

    @property
    def order(self) -> float:
        """The smaller it is, the less was used lately; it holds as time goes by, as all decay."""
        return math.log2(self._used_s + NOTHING_S) + self._counted_s / HALF_LIFE_S

    def has(self, part: float) -> bool:
        """Whether it has this part of all that it may have."""
        least_s = part * BURST_S
        return self.is_exempt or (
            self._cpu_s >= least_s * self.budget.cpu_s and self._size >= least_s * self.budget.size
        )

    def fill(self, now: float) -> None:
        """Add what has come in by now."""
        budget, passed_s = self.budget, now - self._counted_s
        self._counted_s = now
        self._used_s *= 2 ** (-passed_s / HALF_LIFE_S)
        self._cpu_s = min(budget.cpu_s * BURST_S, self._cpu_s + budget.cpu_s * passed_s)
        self._size = min(budget.size * BURST_S, self._size + budget.size * passed_s)

    def spend(self, cpu_s: float, size: int) -> None:
        """It may go below nothing: what a read costs is known behind it."""
        self._cpu_s -= cpu_s
        self._size -= size
        self._used_s += cpu_s

    def waits_until_s(self) -> float:
        """When it has some again."""
        has_s = min(self._cpu_s / self.budget.cpu_s, self._size / self.budget.size)
        return self._counted_s + max(0.0, SOME * BURST_S - has_s)


class FairTurns(Generic[T]):
    """Connections that have something to read, by address."""

    def __init__(self, share: float, each: Budget, now: float) -> None:
        """`share` is the part of a core that all have; `each` is the budget of an address."""
        self._share = share
        self._each = each
        self._exempt = Networks(())
        self._left_s = share * ALL_BURST_S
        self._counted_s = now
        self._accounts: dict[str, Account[T]] = {}
        # Addresses with something to read, by their order, and those that wait for their budget.
        self._turns: list[tuple[float, int, Account[T]]] = []
        self._number = 0  # tells apart those of the same order
        self._waiting: list[Account[T]] = []
        self._look_s = 0.0  # when the first of those has some again, or later

    def __len__(self) -> int:
        return len(self._accounts)

    def configure(self, each: Budget, exempt: Networks) -> None:
        """Use another budget from now on."""
        self._each, self._exempt = each, exempt
        for account in self._accounts.values():
            account.budget, account.is_exempt = each, account.peer.partition("/")[0] in exempt
        self._look_s = 0.0

    # ---- who has something to read ------------------------------------------------------------

    def open(self, host: str, now: float) -> Account[T]:
        """Another connection of this address: its account, for all calls about it."""
        peer = subscriber(host)
        account = self._accounts.get(peer)
        if account is None:
            account = self._accounts[peer] = Account(peer, self._each, now)
            account.is_exempt = host in self._exempt
        account.connections += 1
        return account

    def close(self, account: Account[T], item: T) -> None:
        """The connection is gone, or is read in another way from now on."""
        account.connections -= 1
        if item in account.ready:
            account.ready.remove(item)

    def add(self, account: Account[T], item: T, now: float) -> None:
        """This connection has something to read; once until `next` gives it."""
        account.ready.append(item)
        if not account.is_queued:
            self._queue(account, now)

    def next(self, now: float) -> tuple[Account[T], T] | None:
        """The connection to read a little of now; None: there is none, or not yet."""
        self._left_s += self._share * (now - self._counted_s)
        self._left_s = min(self._left_s, self._share * ALL_BURST_S)
        self._counted_s = now
        if self._waiting and now >= self._look_s:
            self._end_waits(now)
        while self._turns and self._left_s > self._least_s():
            account = heapq.heappop(self._turns)[2]
            account.is_queued = False
            if account.ready:
                item = account.ready.popleft()
                if account.ready:
                    self._queue(account, now)
                return account, item
        return None

    def spent(self, account: Account[T], cpu_s: float, size: int) -> None:
        """Count what reading cost."""
        self._left_s -= cpu_s
        account.spend(cpu_s, size)

    def wait_s(self, now: float) -> float | None:
        """How long `next` will give nothing; None: until somebody is added."""
        left_s = self._left_s + self._share * (now - self._counted_s)
        waits = [self._look_s - now] if self._waiting else []
        if self._turns:
            waits.append((self._least_s() - left_s) / self._share)
        return max(0.0, min(waits)) if waits else None

    # ---- who is refused -----------------------------------------------------------------------

    def is_refused(self, host: str, now: float) -> bool:
        """Whether an address is refused for what it has sent."""
        account = self._accounts.get(subscriber(host))
        return account is not None and account.refused_until_s > now

    def refuse_flooding(self, now: float) -> list[str]:
        """Refuse those that did not pause for too long, and return them; about once a second."""
        found = []
        for account in self._waiting:
            since_s = account.over_since_s
            if account.ready and since_s is not None and now - since_s > MAX_WAIT_S:
                account.refused_until_s = now + REFUSED_S
                account.over_since_s = None
                found.append(account.peer)
        self._forget(now)
        return found

    # ---- inside -------------------------------------------------------------------------------

    def _queue(self, account: Account[T], now: float) -> None:
        """Have it take its turn behind the others of its kind, or wait for its budget."""
        account.is_queued = True
        account.fill(now)
        if account.has(RESTED):
            account.over_since_s = None
        if account.is_used_up:
            if account.over_since_s is None:
                account.over_since_s = now
            until_s = account.waits_until_s()
            self._look_s = min(self._look_s, until_s) if self._waiting else until_s
            self._waiting.append(account)
        else:
            self._number += 1
            heapq.heappush(self._turns, (account.order, self._number, account))

    def _least_s(self) -> float:
        """What all must have left for the next one to be read."""
        return -OVERDRAFT_S if self._turns[0][2].has_used_little else 0.0

    def _end_waits(self, now: float) -> None:
        waiting, self._waiting = self._waiting, []
        for account in waiting:
            account.fill(now)
            if not account.ready:
                account.is_queued = False
            elif account.has(SOME):
                self._queue(account, now)
            else:
                self._waiting.append(account)
        first_s = min((account.waits_until_s() for account in self._waiting), default=now)
        self._look_s = max(first_s, now + LOOK_S)

    def _forget(self, now: float) -> None:
        """Keep no account of who is not here and has all of its budget."""
        for peer, account in list(self._accounts.items()):
            if account.connections <= 0 and account.refused_until_s <= now:
                account.fill(now)
                if account.has_used_little and account.has(1.0) and not account.is_queued:
                    del self._accounts[peer]

"""The streams of this farm, and what becomes of their claims in etcd. Pure.

A stream is claimed by making its key where there is none, or by replacing one whose host is gone,
if it is still as it was seen. The revision that this gives, with the cluster's base, is its epoch.
A key that is deleted under a stream that runs ends nothing: the stream is claimed again.
"""

from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import chain

from common.ipc.identity import StreamId


class ClaimState(Enum):
    UNREGISTERED = auto()  # it is to be claimed
    CLAIMING = auto()
    OWNED = auto()
    LOOKING = auto()  # another host has its key, and is looked for
    ELSEWHERE = auto()  # another host has it, though it runs here


@dataclass(slots=True)
class Claim:
    """One stream."""

    stream_id: StreamId
    digest: str
    state: ClaimState = ClaimState.UNREGISTERED
    requests: list[int] = field(default_factory=list)  # who waits for what becomes of it
    epoch: int = 0  # the last that it had
    mod_revision: int = 0  # of its key, while it is owned
    replaces: int = 0  # the revision of a key whose host is gone
    may_replace: int = 0  # the epoch of an owner that gives it up, or that cannot be reached
    retry_s: float = 0.0  # not before


class Claims:
    """Those of one farm."""

    def __init__(self) -> None:
        self.by_digest: dict[str, Claim] = {}
        self.releases: dict[str, int] = {}  # keys to delete: digest, revision
        self.released: set[str] = set()  # while they were being claimed
        # To be claimed, in order: those that somebody waits for, which come first, and the others.
        self._asked: dict[str, None] = {}
        self._unasked: dict[str, None] = {}
        self._elsewhere: set[str] = set()

    def add(self, stream_id: StreamId, digest: str, request_id: int) -> Claim:
        """A stream that the farm has, or is about to have."""
        self.released.discard(digest)
        claim = self.by_digest.get(digest)
        if claim is None:
            claim = self.by_digest[digest] = Claim(stream_id, digest)
            self._wait(claim)
        if request_id:
            claim.requests.append(request_id)
            claim.retry_s = 0.0
            if claim.state is ClaimState.ELSEWHERE:
                self.lose(claim)
            elif claim.state is ClaimState.UNREGISTERED:
                self._wait(claim)
        return claim

    def remove(self, digest: str) -> None:
        """The farm has it no more."""
        claim = self.by_digest.pop(digest, None)
        if claim is None:
            return
        self._wait_no_more(digest)
        self._elsewhere.discard(digest)
        if claim.state is ClaimState.OWNED:
            self.releases[digest] = claim.mod_revision
        elif claim.state is ClaimState.CLAIMING:
            self.released.add(digest)

    def begin(self, claim: Claim) -> None:
        """It is being claimed."""
        claim.state = ClaimState.CLAIMING
        self._wait_no_more(claim.digest)

    def own(self, claim: Claim, mod_revision: int, epoch: int) -> None:
        """It is this farm's."""
        claim.state, claim.mod_revision, claim.epoch = ClaimState.OWNED, mod_revision, epoch
        claim.replaces = claim.may_replace = 0
        self._wait_no_more(claim.digest)
        self._elsewhere.discard(claim.digest)

    def look(self, claim: Claim) -> None:
        """Another host has its key, and may be lost."""
        claim.state, claim.replaces = ClaimState.LOOKING, 0
        self._wait_no_more(claim.digest)
        self._elsewhere.discard(claim.digest)

    def leave(self, claim: Claim) -> None:
        """It is another host's."""
        claim.state, claim.replaces = ClaimState.ELSEWHERE, 0
        self._wait_no_more(claim.digest)
        self._elsewhere.add(claim.digest)

    def lose(self, claim: Claim, retry_s: float = 0.0, replaces: int = 0) -> None:
        """It is to be claimed, perhaps again."""
        claim.state, claim.retry_s, claim.replaces = ClaimState.UNREGISTERED, retry_s, replaces
        self._elsewhere.discard(claim.digest)
        self._wait(claim)

    def lose_all(self) -> None:
        """No key of this farm is there any more."""
        self.releases.clear()
        for claim in self.by_digest.values():
            if claim.state is ClaimState.OWNED:
                self.lose(claim)

    @property
    def has_work(self) -> bool:
        """Tell if there is a key to be made or deleted."""
        return bool(self._asked or self._unasked or self.releases)

    def due(self, now: float, limit: int) -> list[Claim]:
        """Those to be claimed now, so many at most."""
        found: list[Claim] = []
        if limit > 0:
            for digest in chain(self._asked, self._unasked):
                claim = self.by_digest[digest]
                if claim.retry_s <= now and digest not in self.releases:
                    found.append(claim)
                    if len(found) >= limit:
                        break
        return found

    def elsewhere(self) -> list[Claim]:
        """Those that run here and are another host's."""
        return [self.by_digest[digest] for digest in self._elsewhere]

    def counts(self) -> tuple[int, int, int]:
        """How many are owned, not registered, and another host's."""
        elsewhere = len(self._elsewhere)
        waiting = sum(
            claim.state in (ClaimState.UNREGISTERED, ClaimState.CLAIMING, ClaimState.LOOKING)
            for claim in self.by_digest.values()
        )
        return len(self.by_digest) - waiting - elsewhere, waiting, elsewhere

    # ---- inside -------------------------------------------------------------------------------

    def _wait(self, claim: Claim) -> None:
        self._wait_no_more(claim.digest)
        (self._asked if claim.requests else self._unasked)[claim.digest] = None

    def _wait_no_more(self, digest: str) -> None:
        self._asked.pop(digest, None)
        self._unasked.pop(digest, None)

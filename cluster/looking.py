"""Streams whose key is another host's: is that one there? Pure.

A key goes with its host's lease, seconds after the host. So that a publisher who comes here
meanwhile need not wait for that, the key may be replaced at once where the host is lost:

- the relay has had a link to it that broke, and nothing of its farm listens there any more; or
- the relay cannot reach it, and etcd has not heard it for `UNHEARD_S`.

Only who has a majority of etcd replaces anything: the answer that shows the key is one's. A new
leader of etcd gives every lease its whole time, so then the second takes longer.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from cluster.actions import Action, Call, Say, What
from cluster.etcd_session import EtcdSession
from cluster.view import View
from common.etcd import messages
from common.etcd.messages import Answer, KeyValue
from common.ipc.cluster_messages import HostReach, HostReachWanted, Reach

RELAY_S: Final = 1.5  # for the relay's answer
UNHEARD_S: Final = 2  # two keepalives and more
ETCD_S: Final = 2.5  # for etcd not to have heard a host that was lost a moment ago
AGAIN_S: Final = 0.25  # between two questions for a lease


class Verdict(Enum):
    """What came of looking."""

    THERE = auto()
    LOST = auto()


@dataclass(slots=True)
class _Look:
    """One stream's key, as it was seen."""

    host: str
    revision: int
    lease: int
    until_s: float  # then the host counts as there
    is_silent: bool = False  # the relay cannot reach it


Verdicts = list[tuple[str, Verdict, int]]  # digest, what came of it, the revision of the key


class Looking:
    """All that are looked for just now."""

    def __init__(self, session: EtcdSession, view: View) -> None:
        self._session = session
        self._view = view
        self._looks: dict[str, _Look] = {}  # by digest
        self._asked = 0  # the lease that was asked for last

    def begin(self, digest: str, host: str, key: KeyValue, now: float) -> list[Action]:
        """Find out whether the host of a key is there; without actions it counts as there."""
        known = self._view.hosts.get(host)
        if not self._session.own.relay or known is None or not known.record.relay:
            return []
        self._looks[digest] = _Look(host, key.mod_revision, key.lease, now + RELAY_S)
        return [Say(HostReachWanted(host, known.record.relay, known.record.rtmp))]

    def end(self, digest: str, revision: int) -> bool:
        """A key has changed, by this revision; tell if it was looked for as it was before."""
        look = self._looks.get(digest)
        if look is None or look.revision >= revision:
            return look is None
        del self._looks[digest]
        return True

    def on_reach(self, message: HostReach, now: float) -> Verdicts:
        """The relay has answered."""
        of_host = [(d, look) for d, look in self._looks.items() if look.host == message.host]
        if message.reach is Reach.SILENT:
            for _, look in of_host:
                if not look.is_silent:
                    look.is_silent, look.until_s = True, now + ETCD_S
            return []
        is_lost = message.reach is Reach.GONE and self._session.is_in_touch(now)
        return self._judge([digest for digest, _ in of_host], is_lost=is_lost)

    def ask(self, now: float) -> list[Action]:
        """Ask etcd when it heard a host last."""
        session = self._session
        if not self._looks or not session.is_due(What.AGE, now):
            return []
        leases = [look.lease for look in self._looks.values() if look.is_silent and look.lease]
        if not leases:
            return []
        session.retry_s[What.AGE] = now + AGAIN_S
        asked = min(leases, key=lambda lease: (lease <= self._asked, lease))  # in turns
        self._asked = asked
        return session.call(What.AGE, messages.time_to_live(asked), now, f"{asked}")

    def answered(self, call: Call, answer: Answer, now: float) -> Verdicts:
        """Etcd says how long a lease has left, in whole seconds."""
        unheard_s = answer.granted_s - answer.ttl_s - 1
        if not answer.granted_s or unheard_s < UNHEARD_S or not self._session.is_in_touch(now):
            return []
        lease = int(call.digest)
        of_lease = [d for d, one in self._looks.items() if one.lease == lease and one.is_silent]
        return self._judge(of_lease, is_lost=True)

    def tick(self, now: float) -> Verdicts:
        """Who has not been found lost by now counts as there."""
        due = [digest for digest, look in self._looks.items() if look.until_s <= now]
        return self._judge(due, is_lost=False)

    def _judge(self, digests: list[str], *, is_lost: bool) -> Verdicts:
        verdict = Verdict.LOST if is_lost else Verdict.THERE
        return [(digest, verdict, self._looks.pop(digest).revision) for digest in digests]

"""This host's session with etcd: its lease, since when it is in touch, calls on their way. Pure.

- In touch is who has its key in etcd and had an answer within `TOUCH_S`.
- Settled is who was so for a whole TTL: who has been missing meanwhile is gone.
- Time counts for the others' absence as far as etcd has answered, and no further.
"""

from typing import Final

from cluster.actions import Action, Call, Self, What
from cluster.keys import HostRecord
from cluster.view import View
from common.etcd.messages import Request

NOT_YET: Final = "etcd has not answered yet"
TOUCH_S: Final = 2.5


class EtcdSession:
    """What all that asks etcd shares."""

    def __init__(self, own: Self, view: View, unix: float) -> None:
        self.own = own
        self._view = view
        self.has_lease: bool | None = None  # None: that is not known yet
        self.is_registered = False  # by a key of its own
        self.needs_read = True  # what is known of the keys is not certain
        self.revision = 0  # the highest that was seen
        self.answer_s = -1e9  # when what was answered last had been asked
        self.in_touch_s: float | None = None
        self.since_unix = unix
        self.reason = NOT_YET
        self.busy: dict[What, int] = dict.fromkeys(What, 0)
        self.retry_s: dict[What, float] = dict.fromkeys(What, 0.0)

    def is_in_touch(self, now: float) -> bool:
        """Tell if this host is registered and etcd answers."""
        return self.is_registered and now - self.answer_s <= TOUCH_S

    def is_settled(self, now: float) -> bool:
        """Tell if this host has been in touch for a whole TTL."""
        since_s = self.in_touch_s
        is_long = since_s is not None and self.answer_s - since_s >= self.own.ttl_s
        return is_long and self.is_in_touch(now)

    @property
    def is_synced(self) -> bool:
        """Tell if all keys are known, and how epochs are made of their revisions."""
        return not self.needs_read and self._view.base > 0

    def follow(self, now: float, unix: float) -> bool:
        """Note if this host came into touch or lost it; tell if so."""
        is_in_touch = self.is_in_touch(now)
        if is_in_touch == (self.in_touch_s is not None):
            return False
        self.since_unix = unix
        if is_in_touch:
            self.in_touch_s, self.reason = now, ""
        else:
            self.in_touch_s = None
            self.reason = self.reason or "etcd does not answer"
        return True

    def is_due(self, what: What, now: float) -> bool:
        """Tell if a call of that kind may be made."""
        return not self.busy[what] and self.retry_s[what] <= now

    def call(
        self,
        what: What,
        request: Request,
        now: float,
        digest: str = "",
        record: HostRecord | None = None,
    ) -> list[Action]:
        """Ask etcd."""
        self.busy[what] += 1
        return [Call(what, request, now, self.revision, digest, record)]

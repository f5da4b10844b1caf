"""All keys of the cluster as they are at one revision, read page by page. Pure."""

from typing import Final

from cluster.actions import Action, What
from cluster.etcd_session import EtcdSession
from cluster.keys import Keys
from common.etcd import messages
from common.etcd.messages import Answer, KeyValue, prefix_end

PAGE: Final = 1_000  # keys read at once


class AllKeys:
    """One reading at a time."""

    def __init__(self, session: EtcdSession, keys: Keys) -> None:
        self._session = session
        self._prefix = keys.prefix
        self._page: list[KeyValue] = []
        self.revision = 0  # that the last reading is of

    def read(self, now: float) -> list[Action]:
        """Begin a reading, if it is time."""
        if not self._session.needs_read or not self._session.is_due(What.READ, now):
            return []
        return self._ask(self._prefix, 0, now)

    def forget(self) -> None:
        """What was read of them is of no use."""
        self._page = []

    def answered(self, answer: Answer, now: float) -> tuple[list[KeyValue] | None, list[Action]]:
        """Take a page: all keys, if it was the last one, and what to ask next."""
        if not self._page:
            self.revision = answer.revision
        self._page += answer.kvs
        if answer.has_more and answer.kvs:
            return None, self._ask(f"{answer.kvs[-1].key}\0", self.revision, now)
        found, self._page = self._page, []
        self._session.needs_read = False
        return found, []

    def _ask(self, key: str, revision: int, now: float) -> list[Action]:
        asked = messages.read(key, prefix_end(self._prefix), limit=PAGE, revision=revision)
        return self._session.call(What.READ, asked, now)

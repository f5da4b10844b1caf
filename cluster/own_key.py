"""This host's own key in etcd: when it is written, and what the answers mean. Pure."""

from typing import Final

from cluster.actions import Action, Call, What
from cluster.etcd_session import EtcdSession
from cluster.host_key import differs
from cluster.keys import HostRecord, Keys, write_host
from cluster.view import View
from common.etcd import messages
from common.etcd.messages import Answer, Compare, KeyValue
from common.ipc.cluster_messages import HostRoom

RETRY_S: Final = 0.5
PROBE_S: Final = 10.0  # it is written as often at least, for the watch to show it
WRITE_S: Final = 1.0  # … and at most


class OwnKey:
    """One host's."""

    def __init__(self, session: EtcdSession, keys: Keys, view: View, now: float) -> None:
        self._session = session
        self._view = view
        self._name = session.own.host
        self._key = keys.host(self._name)
        self._shown: HostRecord | None = None  # in etcd
        self.room = HostRoom()  # what is free here
        self.revision = 0  # of the last write
        self.written_s = now

    def write(self, now: float) -> list[Action]:
        """Write it, if it is not there or not as it should be."""
        session, before = self._session, self._shown
        if not (session.has_lease and session.is_synced and session.is_due(What.HOST, now)):
            return []
        record = self._record()
        if session.is_registered and before is not None:
            since_s = now - self.written_s
            is_worth = since_s >= WRITE_S and differs(record, before)
            if not is_worth and since_s < PROBE_S:
                return []
        seen = self._view.hosts.get(self._name)
        is_there = seen is not None and seen.missing_s is None
        if seen is not None and is_there and seen.record.farm != record.farm:
            session.reason = f"another farm of this cluster has the name {self._name}"
            session.retry_s[What.HOST] = now + RETRY_S
            return []
        compare = Compare(self._key, create=0)
        if seen is not None and is_there:
            compare = Compare(self._key, mod=seen.mod_revision)
        put = messages.put(self._key, write_host(record), session.own.lease)
        asked = messages.transaction([compare], [put], [messages.get(self._key)])
        return session.call(What.HOST, asked, now, record=record)

    def answered(self, call: Call, answer: Answer, now: float) -> None:
        """It is written; or another one stands there, which is known now."""
        session = self._session
        assert call.record is not None
        if not answer.succeeded:
            for kv in answer.kvs:
                self._view.put(kv)
            if not answer.kvs:
                self._view.hosts.pop(self._name, None)
            session.is_registered &= bool(answer.kvs)
            session.retry_s[What.HOST] = now + 0.1
            return
        self._shown = call.record
        self.revision, self.written_s = answer.revision, now
        value = write_host(call.record)
        self._view.put(KeyValue(self._key, value, mod_revision=answer.revision))
        session.is_registered = session.has_lease is True

    def _record(self) -> HostRecord:
        own, room = self._session.own, self.room
        return HostRecord(
            own.farm,
            own.version,
            own.relay,
            own.rtmp,
            room.free,
            room.capacity,
            room.is_draining,
            room.templates_revision,
            room.templates_problem,
        )

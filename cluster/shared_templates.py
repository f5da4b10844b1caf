"""The templates that all hosts share, as one key in etcd: told when they change, and put. Pure.

They are put in the place of what this host saw last, so that no operator undoes another's unseen.
A key that is not there any more, by hand or because etcd lost its data, changes nothing at any
host: each goes on with what it has.
"""

from cluster.actions import Action, Say, What
from cluster.etcd_session import EtcdSession
from cluster.keys import Keys
from cluster.view import View
from common.etcd import messages
from common.etcd.messages import Answer, Compare
from common.ipc.cluster_messages import ClusterTemplates, TemplatesPushed

OTHERS = "somebody else has changed them meanwhile: look at them, and push again"


class SharedTemplates:
    """As one host sees them."""

    def __init__(self, session: EtcdSession, keys: Keys, view: View) -> None:
        self._session = session
        self._key = keys.config
        self._view = view
        self._reported = view.templates

    def again(self) -> None:
        """The supervisor is another one: it knows nothing."""
        self._reported = ClusterTemplates(0, "")

    def changes(self) -> list[Action]:
        """Tell the supervisor of those that it does not know."""
        found = self._view.templates
        if found == self._reported or not found.revision:
            return []
        self._reported = found
        return [Say(self._reported)]

    def push(self, text: str, now: float) -> list[Action]:
        """Put others in their place."""
        session = self._session
        if not session.is_in_touch(now) or not session.is_synced:
            return [Say(TemplatesPushed("this host is not in touch with etcd"))]
        if session.busy[What.TEMPLATES]:
            return [Say(TemplatesPushed("others are being pushed; try again"))]
        revision = self._view.templates.revision
        compare = Compare(self._key, mod=revision) if revision else Compare(self._key, create=0)
        put = messages.put(self._key, text.encode(), 0)
        asked = messages.transaction([compare], [put], [messages.get(self._key)])
        return session.call(What.TEMPLATES, asked, now)

    def answered(self, answer: Answer) -> list[Action]:
        """They are there, or others are, which are known now."""
        if answer.succeeded:
            return [Say(TemplatesPushed())]
        if not answer.kvs:
            self._view.templates = ClusterTemplates(0, self._view.templates.text)
        for kv in answer.kvs:
            self._view.put(kv)
        return [Say(TemplatesPushed(OTHERS))]

    def failed(self, reason: str) -> list[Action]:
        """Etcd has not answered, or refused."""
        return [Say(TemplatesPushed(f"{reason}; look whether they are there"))]

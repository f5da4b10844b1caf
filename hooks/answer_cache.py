"""Answers that are good for a while for the same question. Pure, in bounded memory."""

from collections import OrderedDict

from common.access.peer_address import host_of, subscriber
from common.ipc.hook_messages import HookQuestion, HookVerdict

MAX_KEPT = 10_000

_Key = tuple[object, ...]


class AnswerCache:
    """The verdicts of one farm's hooks."""

    def __init__(self, most: int = MAX_KEPT) -> None:
        self._most = most
        self._kept: OrderedDict[_Key, tuple[float, HookVerdict]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, question: HookQuestion, verdict: HookVerdict, until_s: float) -> None:
        """Give this verdict until then; `until_s` is CLOCK_MONOTONIC."""
        key = _key(question)
        self._kept.pop(key, None)
        self._kept[key] = until_s, verdict
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def get(self, question: HookQuestion, now: float) -> HookVerdict | None:
        """The verdict that is good for a question."""
        key = _key(question)
        until_s, verdict = self._kept.get(key, (now, None))
        if now >= until_s:
            self._kept.pop(key, None)
            return None
        return verdict

    def clear(self) -> None:
        """Ask anew: the configuration is another one."""
        self._kept.clear()


def _key(question: HookQuestion) -> _Key:
    """What makes two questions the same: not the session, nor the port."""
    subject = question.subject
    return (
        question.event,
        subject.app,
        subject.key,
        subject.rendition,
        subscriber(host_of(subject.address)),
        subject.protocol,
        tuple(sorted(subject.query.items())),
    )

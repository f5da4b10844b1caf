"""What is sent to hooks, in which order, and what becomes of it. Pure; the time is passed in.

The rules:

- Events of a stream get numbers in the order in which they come, and are sent in that order, one
  at a time (`parallel`: so many at a time). Streams do not wait for one another.
- A question is answered by its deadline: what is queued until then is answered without being sent.
- A notice that was not taken is sent again, later each time, for `retry`. The notices behind it
  wait; questions do not.
- Of one app so many requests are open at a time: a hook that hangs takes nothing from others'.
- Queues are bounded. What finds no room is answered at once; a notice is dropped, and counted.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from common.config.hooks import Hooks
from common.ipc.hook_messages import HookAnswer, HookNotice, HookQuestion, HookVerdict
from hooks.answer_cache import AnswerCache
from hooks.answers import Answered, no_answer

MAX_OPEN = 200  # requests of one app at a time
MAX_OF_STREAM = 500  # events of one stream that wait
MAX_WAITING = 20_000  # of all streams
MAX_NUMBERED = 50_000  # streams whose last number is remembered
FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 30.0

LATE = "it did not answer in time"
NO_ROOM = "too many events wait for it"
NO_HOOK = "the app has no hook any more"

Event = HookQuestion | HookNotice


@dataclass(frozen=True, slots=True)
class Deliver:
    """Send this, and say what came of it: `answered` of a question, `delivered` of a notice."""

    number: int
    event: Event
    hooks: Hooks
    sequence: int
    at_unix: float  # when it happened
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer the child that asked."""

    answer: HookAnswer
    question: HookQuestion


@dataclass(frozen=True, slots=True)
class Lost:
    """A notice that nobody took."""

    notice: HookNotice
    why: str


Action = Deliver | Reply | Lost


@dataclass(slots=True, eq=False)
class _Item:
    """One event that waits, or is on its way."""

    event: Event
    sequence: int
    at_unix: float
    until_s: float
    number: int = 0  # of its request; 0: none is on its way
    tries: int = 0
    next_try_s: float = 0.0


@dataclass(slots=True)
class _Queue:
    """The events of one stream, the oldest first."""

    app: str
    items: deque[_Item] = field(default_factory=deque)
    open: int = 0  # requests

    def next(self, now: float) -> _Item | None:
        """What may be sent now."""
        is_behind_notice = is_behind_any = False
        for item in self.items:
            is_notice = isinstance(item.event, HookNotice)
            if item.number:
                is_behind_any = True
                is_behind_notice |= is_notice
            elif not is_notice:
                return item
            elif item.next_try_s > now or is_behind_notice:
                is_behind_notice = True
            else:
                return None if is_behind_any else item
        return None


class Dispatcher:
    """All that is sent to the hooks of a farm."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._hooks: dict[str, Hooks] = {}
        self._queues: dict[str, _Queue] = {}  # by stream
        self._open: dict[int, tuple[str, _Item]] = {}  # by number: its stream, and what it is
        self._open_of: Counter[str] = Counter()  # by app
        self._held: dict[str, OrderedDict[str, None]] = {}  # by app: streams that wait for others
        self._waiting = 0
        self._last_number = 0
        self._sequences: OrderedDict[str, int] = OrderedDict()
        self._cache = AnswerCache()

    def __len__(self) -> int:
        return self._waiting

    def configure(self, hooks: Mapping[str, Hooks]) -> None:
        """Use these from now on, by app; what is on its way goes on."""
        if hooks != self._hooks:
            self._cache.clear()
        self._hooks = dict(hooks)

    def ask(self, question: HookQuestion, now: float, at_unix: float) -> list[Action]:
        """Somebody waits for an answer."""
        hooks = self._hooks.get(question.subject.app)
        if hooks is None:
            return [self._reply(question, no_answer(NO_HOOK).verdict)]
        known = self._cache.get(question, now)
        if known is not None:
            self.counts["answered from the cache"] += 1
            return [self._reply(question, known)]
        if not self._has_room(question.subject.stream):
            return [self._reply(question, no_answer(NO_ROOM).verdict)]
        self._put(question, at_unix, now + hooks.deadline_s)
        return self._pump(question.subject.stream, now)

    def report(self, notice: HookNotice, now: float) -> list[Action]:
        """Something ended."""
        hooks = self._hooks.get(notice.subject.app)
        if hooks is None:
            return [self._lose(notice, NO_HOOK)]
        if not self._has_room(notice.subject.stream):
            return [self._lose(notice, NO_ROOM)]
        self._put(notice, notice.at_unix, now + hooks.retry_s)
        return self._pump(notice.subject.stream, now)

    def answered(self, number: int, answer: Answered, now: float) -> list[Action]:
        """What came of a question."""
        stream, item = self._close(number)
        question = item.event
        assert isinstance(question, HookQuestion)
        self._remove(stream, item)
        hooks = self._hooks.get(question.subject.app)
        if answer.verdict.is_allowed is not None and hooks is not None:
            cache_s = hooks.cache_s if answer.cache_s is None else answer.cache_s
            if cache_s > 0:
                self._cache.keep(question, answer.verdict, now + cache_s)
        return [self._reply(question, answer.verdict), *self._go_on(stream, question, now)]

    def delivered(self, number: int, failure: str, now: float) -> list[Action]:
        """What came of a notice; `failure` "": it was taken."""
        stream, item = self._close(number)
        notice = item.event
        assert isinstance(notice, HookNotice)
        actions: list[Action] = []
        item.tries += 1
        wait_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(item.tries - 1, 10))
        if not failure:
            self.counts["notices taken"] += 1
            self._remove(stream, item)
        elif now + wait_s > item.until_s:
            self._remove(stream, item)
            actions.append(self._lose(notice, failure))
        else:
            self.counts["notices sent again"] += 1
            item.next_try_s = now + wait_s
        return [*actions, *self._go_on(stream, notice, now)]

    def tick(self, now: float) -> list[Action]:
        """Answer what is late, and send what is due; some times a second."""
        actions: list[Action] = []
        for stream, queue in list(self._queues.items()):
            for item in [one for one in queue.items if self._is_late(one, now)]:
                self._remove(stream, item)
                assert isinstance(item.event, HookQuestion)
                actions.append(self._reply(item.event, no_answer(LATE).verdict))
            actions += self._pump(stream, now)
        return actions

    # ---- inside -------------------------------------------------------------------------------

    def _is_late(self, item: _Item, now: float) -> bool:
        return isinstance(item.event, HookQuestion) and not item.number and now >= item.until_s

    def _has_room(self, stream: str) -> bool:
        queue = self._queues.get(stream)
        of_stream = len(queue.items) if queue is not None else 0
        return self._waiting < MAX_WAITING and of_stream < MAX_OF_STREAM

    def _put(self, event: Event, at_unix: float, until_s: float) -> None:
        subject = event.subject
        queue = self._queues.setdefault(subject.stream, _Queue(subject.app))
        sequence = self._sequences.pop(subject.stream, 0) + 1
        self._sequences[subject.stream] = sequence
        if len(self._sequences) > MAX_NUMBERED:
            self._sequences.popitem(last=False)
        queue.items.append(_Item(event, sequence, at_unix, until_s))
        self._waiting += 1

    def _remove(self, stream: str, item: _Item) -> None:
        queue = self._queues[stream]
        queue.items.remove(item)
        self._waiting -= 1
        if not queue.items:
            del self._queues[stream]
            self._held.get(queue.app, OrderedDict()).pop(stream, None)

    def _pump(self, stream: str, now: float) -> list[Action]:
        """Send of a stream what may be sent."""
        queue = self._queues.get(stream)
        hooks = self._hooks.get(queue.app) if queue is not None else None
        if queue is None:
            return []
        if hooks is None:
            return list(self._abandon(stream, queue))
        actions: list[Action] = []
        while queue.open < hooks.parallel and (item := queue.next(now)) is not None:
            if self._open_of[queue.app] >= MAX_OPEN:
                self._held.setdefault(queue.app, OrderedDict())[stream] = None
                break
            actions.append(self._send(stream, queue, item, hooks, now))
        return actions

    def _send(self, stream: str, queue: _Queue, item: _Item, hooks: Hooks, now: float) -> Deliver:
        self._last_number += 1
        item.number = self._last_number
        queue.open += 1
        self._open[item.number] = stream, item
        self._open_of[queue.app] += 1
        self.counts["sent"] += 1
        is_question = isinstance(item.event, HookQuestion)
        timeout_s = item.until_s - now if is_question else hooks.deadline_s
        return Deliver(
            item.number, item.event, hooks, item.sequence, item.at_unix, max(0.01, timeout_s)
        )

    def _abandon(self, stream: str, queue: _Queue) -> Iterator[Action]:
        """Its app has no hook any more: nothing else is sent."""
        for item in [one for one in queue.items if not one.number]:
            self._remove(stream, item)
            if isinstance(item.event, HookQuestion):
                yield self._reply(item.event, no_answer(NO_HOOK).verdict)
            else:
                yield self._lose(item.event, NO_HOOK)

    def _close(self, number: int) -> tuple[str, _Item]:
        stream, item = self._open.pop(number)
        item.number = 0
        queue = self._queues[stream]
        queue.open -= 1
        self._open_of[queue.app] -= 1
        return stream, item

    def _go_on(self, stream: str, event: Event, now: float) -> list[Action]:
        """Send what the end of a request lets go: of its stream, then of those that waited."""
        app = event.subject.app
        actions = self._pump(stream, now)
        held = self._held.get(app)
        while held and self._open_of[app] < MAX_OPEN:
            actions += self._pump(held.popitem(last=False)[0], now)
        return actions

    def _reply(self, question: HookQuestion, verdict: HookVerdict) -> Reply:
        which = {True: "allowed", False: "denied", None: "without an answer"}
        self.counts[which[verdict.is_allowed]] += 1
        assert question.child is not None
        answer = HookAnswer(question.child, question.request_id, verdict)
        return Reply(answer, question)

    def _lose(self, notice: HookNotice, why: str) -> Lost:
        self.counts["notices lost"] += 1
        return Lost(notice, why)

"""Publishers at other hosts whose streams this farm has: each is given to an ingest. Pure.

An ingest lets them in, places and serves them as those that came to it; what it says goes back.
Pure but for the ways to the ingests.
"""

from collections.abc import Callable, Mapping, Sequence

from common.ipc.control_messages import GopTransfer
from common.ipc.gop_items import TransferItem, TransferKind
from common.ipc.identity import Generation, split_stream_id
from common.ipc.unit_messages import (
    Judged,
    PublishAccepted,
    PublishAsk,
    PublishFinished,
    PublishHeldBack,
    PublishRefused,
    PublishTimed,
)
from common.ipc.unit_ways import Answer, Way, Ways
from common.link.forwarding import Item
from common.link.publish_messages import LinkPublish, LinkPublishEnd, LinkTime
from common.link.receiving import Asked, Received, ReceivedUnits, Receiving
from common.link.serving import Serving
from common.media.clock import ClockReference, ResumeTime

NO_INGEST = "there is no ingest just now"


class _Publisher:
    """One, from its request to its end."""

    def __init__(self, number: int, receiving: Receiving, clock: Callable[[], float]) -> None:
        self.way: Way | None = None
        self._number = number
        self._receiving = receiving
        self._clock = clock

    def on_answer(self, answer: Answer, /) -> None:
        """Its ingest says something."""
        number, receiving = self._number, self._receiving
        match answer:
            case PublishAccepted(_, reference, end_ms):
                time = None
                if reference is not None:
                    age_s = max(0.0, self._clock() - reference.monotonic_s)
                    end_ms = end_ms if end_ms is not None else reference.stream_ms
                    time = LinkTime(reference.stream_ms, age_s, end_ms)
                receiving.answer(number, None, time)
            case PublishRefused(_, refusal):
                self.way = None
                receiving.refuse(number, refusal)
            case PublishFinished(_, reason):
                self.way = None
                receiving.end(number, None, reason)
            case PublishTimed(_, stamp_ms, stream_ms, epoch_ms):
                receiving.timed(number, stamp_ms, stream_ms, epoch_ms)
            case PublishHeldBack(_, seconds):
                receiving.hold_back(number, seconds)

    def on_cut_off(self, reason: str, /) -> None:
        """Its ingest is gone."""
        self.way = None
        self._receiving.cut(self._number, reason)


class Publishers:
    """All of one relay."""

    def __init__(self, ways: Ways, clock: Callable[[], float]) -> None:
        self._ways = ways
        self._clock = clock
        self._publishers: dict[int, dict[int, _Publisher]] = {}  # by connection and number
        self._refused_units = 0  # that an ingest did not take

    @property
    def counters(self) -> Mapping[str, int]:
        return {
            "relay publishers": sum(map(len, self._publishers.values())),
            "relay units not taken": self._refused_units,
        }

    def arrived(self, serving: Serving) -> None:
        """A host has connected."""
        publishers = self._publishers[id(serving)] = {}
        serving.receiving.on_received = lambda what: self._received(serving, publishers, what)

    def left(self, serving: Serving) -> None:
        """It is gone, and with it its publishers: their streams are held."""
        host = serving.peer.host if serving.peer is not None else ""
        for publisher in self._publishers.pop(id(serving), {}).values():
            if publisher.way is not None:
                publisher.way.over(f"the link to host {host} broke")

    def _received(
        self, serving: Serving, publishers: dict[int, _Publisher], what: Received
    ) -> None:
        if isinstance(what, ReceivedUnits):  # first, as nearly all are
            publisher = publishers.get(what.number)
            if publisher is None or publisher.way is None:
                return
            if not publisher.way.send(what.items, what.payloads):
                self._refused_units += 1
                serving.receiving.lose(what.number)
        elif isinstance(what, Asked):
            self._ask(serving, publishers, what)
        elif isinstance(what, LinkPublishEnd):
            publisher = publishers.pop(what.number, None)
            if publisher is not None and publisher.way is not None:
                publisher.way.over(what.reason, is_meant=what.is_meant, goes_on=what.goes_on)

    def _ask(self, serving: Serving, publishers: dict[int, _Publisher], asked: Asked) -> None:
        ask = asked.ask
        known = set(serving.receiving.numbers)
        for number in [number for number in publishers if number not in known]:
            del publishers[number]  # that were refused or ended
        publisher = _Publisher(ask.number, serving.receiving, self._clock)
        host = serving.peer.host if serving.peer is not None else ""
        now = self._clock()
        publishers[ask.number] = publisher
        publisher.way = self._ways.ask(
            publisher,
            ask.stream_id,
            lambda number: _ask_of(number, ask, asked.gop, host, now),
            [payload for _, payload in asked.gop],
        )
        if publisher.way is None:
            publisher.on_cut_off(NO_INGEST)


def _ask_of(
    number: int, ask: LinkPublish, kept: Sequence[Item], host: str, now: float
) -> PublishAsk:
    app, key = split_stream_id(ask.stream_id)
    resume = gop = None
    if (time := ask.time) is not None:
        reference = ClockReference(time.stream_ms, now - time.age_s)
        resume = ResumeTime(reference, time.end_ms, time.epoch_ms)
    if kept:
        items = tuple(
            TransferItem(TransferKind(kind), codec, stamp_ms, composition_ms, flags, now)
            for (kind, codec, stamp_ms, composition_ms, flags, _), _ in kept
        )
        gop = GopTransfer(ask.stream_id, Generation(0), ask.format, items)
    return PublishAsk(
        number,
        app,
        key,
        ask.address,
        f"host {host}",
        judged=Judged(ask.credentials, ask.overrides, ask.replaces, host),
        resume=resume,
        gop=gop,
    )

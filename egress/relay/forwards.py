"""Publishers of this farm on their way to other hosts that have their streams. Pure but for ports.

The ingests ask here, by the socket `forward`. A link that breaks, or a host that cannot take the
publisher just now, is tried again for a moment; then the ingest is told that the way is cut off.
"""

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from common.ipc.envelope import encode
from common.ipc.forward_messages import ForwardAsk
from common.ipc.identity import stream_id
from common.ipc.unit_messages import (
    PublishAccepted,
    PublishCutOff,
    PublishFinished,
    PublishHeldBack,
    PublishOver,
    PublishRefused,
    PublishTimed,
    UnitItem,
    Units,
)
from common.link.forwarding import Event, Forwarding, ForwardLost, Item
from common.link.publish_messages import (
    LinkPublish,
    LinkPublishAnswer,
    LinkPublishEnded,
    LinkPublishHeld,
    LinkPublishTimed,
    LinkTime,
)
from common.media.clock import ClockReference

CONNECT_S: Final = 1.2  # for a link to stand, before the host counts as one that cannot be reached
AGAIN_S: Final = 1.0  # likewise, after a link broke
CUT_S: Final = 3.0  # for an ingest of a host that is there
PAUSE_S: Final = 0.3  # until that is asked again


class Answering(Protocol):
    """The ingest that asked: `common.ipc.media_listener.Sender`."""

    @property
    def pid(self) -> int: ...

    def answer(self, frames: Sequence[bytes]) -> bool: ...


class Hosts(Protocol):
    """The links to other hosts: `Pulls`."""

    def forwarding(self, name: str, address: str, now: float) -> Forwarding | None:
        """The publishers of one; None: nothing is known of this host yet."""
        ...


@dataclass(slots=True)
class _Forwarded:
    """One publisher."""

    sender: Answering
    number: int  # by its ingest
    forwarding: Forwarding
    ask: LinkPublish
    is_open: bool = False  # its ingest has been told so
    until_s: float | None = None  # for the way to be there again


class Forwards:
    """All of one relay."""

    def __init__(
        self,
        hosts: Hosts,
        clock: Callable[[], float],
        later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        """`later` calls something after so many seconds."""
        self._hosts = hosts
        self._clock = clock
        self._later = later
        self._numbers = itertools.count(1)
        self._forwarded: dict[int, _Forwarded] = {}  # by their number on the link
        self._by_sender: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self._forwarded)

    @property
    def counters(self) -> Mapping[str, int]:
        hosts = {id(one.forwarding): one.forwarding for one in self._forwarded.values()}
        return {
            "relay forwarded": sum(one.is_open for one in self._forwarded.values()),
            "relay forwarded dropped": sum(each.dropped for each in hosts.values()),
        }

    # ---- what ingests say ---------------------------------------------------------------------

    def on_ask(self, sender: Answering, message: ForwardAsk, payloads: Sequence[bytes]) -> None:
        """An ingest asks for a publisher."""
        now, ask = self._clock(), message.ask
        forwarding = self._hosts.forwarding(message.host, message.relay, now)
        if forwarding is None or ask.judged is None:
            self._cut(sender, ask.number, "this host's relay knows no cluster yet")
            return
        resume, gop = ask.resume, ask.gop
        time = None
        if resume is not None:
            age_s = max(0.0, now - resume.reference.monotonic_s)
            time = LinkTime(resume.reference.stream_ms, age_s, resume.end_ms, resume.epoch_ms)
        number = next(self._numbers)
        asked = LinkPublish(
            number,
            stream_id(ask.app, ask.key),
            ask.peer,
            ask.judged.credentials,
            ask.judged.overrides,
            time,
            format=gop.format if gop is not None else None,
            replaces=ask.judged.replaces,
        )
        one = _Forwarded(sender, ask.number, forwarding, asked, until_s=now + CONNECT_S)
        self._forwarded[number] = one
        self._by_sender[id(sender), ask.number] = number
        kept: list[Item] = []
        for item, payload in zip(gop.items if gop is not None else (), payloads, strict=True):
            times = item.dts_ms, item.composition_ms, item.flags, item.received_s
            kept.append((UnitItem(item.kind.value, item.codec, *times), payload))
        forwarding.ask(asked, kept)
        self._later(CONNECT_S, self.look)

    def on_units(self, sender: Answering, units: Units, payloads: Sequence[bytes]) -> None:
        """A publisher has sent something."""
        number = self._by_sender.get((id(sender), units.number))
        if number is not None:
            one = self._forwarded[number]
            one.forwarding.units(number, units.items, payloads, self._clock())

    def on_over(self, sender: Answering, over: PublishOver) -> None:
        """A publisher is gone."""
        number = self._by_sender.get((id(sender), over.number))
        if number is not None:
            one = self._forwarded[number]
            self._forget(number)
            how = over.is_meant, over.goes_on
            one.forwarding.end(number, over.reason, is_meant=how[0], goes_on=how[1])

    def follow(self, processes: Collection[int]) -> None:
        """These run: the publishers of an ingest that is gone are gone, too."""
        for number, one in tuple(self._forwarded.items()):
            if one.sender.pid not in processes:
                self._forget(number)
                one.forwarding.end(number, "its ingest is gone", is_meant=False)

    # ---- what the hosts say -------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """A host says something of a publisher, or its link does."""
        number = event.number
        one = self._forwarded.get(number)
        if one is None:
            return
        match event:
            case LinkPublishAnswer(refusal=None, time=time):
                one.until_s = None
                if not one.is_open:
                    one.is_open = True
                    self._report(one, _accepted(one.number, time, self._clock()))
            case LinkPublishAnswer(refusal=refusal):
                self._forget(number)
                assert refusal is not None
                self._report(one, PublishRefused(one.number, refusal))
            case LinkPublishTimed(stamp_ms=stamp_ms, stream_ms=stream_ms, epoch_ms=epoch_ms):
                self._report(one, PublishTimed(one.number, stamp_ms, stream_ms, epoch_ms))
            case LinkPublishHeld(seconds=seconds):
                self._report(one, PublishHeldBack(one.number, seconds))
            case LinkPublishEnded(refusal=refusal, reason=reason):
                self._forget(number)
                if refusal is None:
                    self._report(one, PublishFinished(one.number, reason))
                else:
                    self._report(one, PublishRefused(one.number, refusal))
            case ForwardLost():
                self._on_lost(one, event)

    def look(self) -> None:
        """Give up what has waited for long enough."""
        now = self._clock()
        for number, one in tuple(self._forwarded.items()):
            if (
                one.until_s is not None
                and one.until_s <= now
                and not one.forwarding.is_asked(number)
            ):
                self._forget(number)
                one.forwarding.end(number, "it took too long", is_meant=False)
                host = one.forwarding.host
                self._cut(one.sender, one.number, f"host {host} cannot be reached")

    # ---- inside -------------------------------------------------------------------------------

    def _on_lost(self, one: _Forwarded, event: ForwardLost) -> None:
        now = self._clock()
        wait_s = CUT_S if event.is_linked else AGAIN_S
        if one.until_s is None:
            one.until_s = now + wait_s
            self._later(wait_s, self.look)
        if one.until_s <= now:
            self.look()
        elif event.is_linked:
            self._later(PAUSE_S, lambda: self._ask_again(one))
        else:
            one.forwarding.ask(one.ask)  # as soon as there is a link

    def _ask_again(self, one: _Forwarded) -> None:
        if self._forwarded.get(one.ask.number) is one:
            one.forwarding.ask(one.ask)

    def _forget(self, number: int) -> None:
        one = self._forwarded.pop(number)
        self._by_sender.pop((id(one.sender), one.number), None)

    def _cut(self, sender: Answering, number: int, reason: str) -> None:
        sender.answer([encode(PublishCutOff(number, reason))])

    def _report(self, one: _Forwarded, answer: object) -> None:
        one.sender.answer([encode(answer)])


def _accepted(number: int, time: LinkTime | None, now: float) -> PublishAccepted:
    if time is None:
        return PublishAccepted(number)
    reference = ClockReference(time.stream_ms, now - time.age_s)
    return PublishAccepted(number, reference, time.end_ms)

"""A child's way to the ingests, for publishers whose protocol it speaks (IO).

An ingest's way to the relay, for publishers whose streams other hosts have, is the same.

Each publisher is at one ingest, told by its stream's name, and has a number there. One whose ingest
is gone is told so, and may ask anew: another one is there then, or the next of that one.
"""

import hashlib
import itertools
import logging
from collections.abc import Callable, Sequence
from typing import Any

from common.access.refusal import Refusal
from common.ipc.bus import Bus
from common.ipc.control_messages import Endpoint
from common.ipc.envelope import encode
from common.ipc.forward_messages import ForwardAsk
from common.ipc.identity import ChildId
from common.ipc.media_link import MediaSender
from common.ipc.status_messages import LineFigures
from common.ipc.unit_messages import (
    PublishAsk,
    PublishCheck,
    PublishChecked,
    PublishCutOff,
    PublishFinished,
    PublishLine,
    PublishOver,
    PublishRefused,
    UnitItem,
    Units,
)
from common.ipc.unit_ways import Answer, UnitPublisher
from common.media.units import Data

log = logging.getLogger("tfarm.common.ipc.unit_link")

MAX_QUESTIONS = 1000  # without an answer, of one link


class UnitWay:
    """The way of one publisher to its ingest."""

    def __init__(self, link: "_Link", number: int) -> None:
        self._link, self._number = link, number

    @property
    def ingest(self) -> ChildId:
        return self._link.ingest

    def send(self, items: Sequence[UnitItem], payloads: Sequence[Data]) -> bool:
        """Send units; False: the ingest takes no more now, or is gone. Drop up to a keyframe."""
        units = Units(self._number, tuple(items))
        return self._link.send((encode(units), *payloads))

    def report(self, line: LineFigures) -> None:
        """Say how its packets come; every few seconds."""
        self._link.send((encode(PublishLine(self._number, line)),), batched=True)

    def over(self, reason: str, *, is_meant: bool = False, goes_on: bool = False) -> None:
        """The publisher is gone; nothing more is said of it, either way."""
        if self._link.publishers.pop(self._number, None) is not None:
            over = PublishOver(self._number, reason[:200], is_meant, goes_on)
            self._link.send((encode(over),))


class UnitLinks:
    """The links of one child."""

    def __init__(self, bus: Bus, socket: str = "units", *, is_plain: bool = False) -> None:
        """`socket`: the field of `Endpoint` that names the other ends.

        `is_plain`: go by plain sockets, where these are.
        """
        self._is_plain = is_plain
        self._bus = bus
        self._socket = socket
        self._links: dict[str, _Link] = {}  # by address
        self._numbers = itertools.count(1)

    def __len__(self) -> int:
        """How many publishers are on their way, or there."""
        return sum(len(link.publishers) for link in self._links.values())

    def follow(self, endpoints: Sequence[Endpoint]) -> None:
        """Take over the ingests that run now."""
        sockets = [(getattr(end, self._socket), end) for end in endpoints]
        running = {address: end for address, end in sockets if address}
        for address in [known for known in self._links if known not in running]:
            link = self._links.pop(address)
            link.cut_off(f"{link.ingest} is gone")
            link.close()
        for address, end in running.items():
            if address not in self._links:
                self._links[address] = _Link(self._bus, address, end.child, self._is_plain)
            self._links[address].is_retiring = end.is_retiring

    def ask(
        self,
        publisher: UnitPublisher,
        stream: str,
        make: Callable[[int], PublishAsk | ForwardAsk],
        payloads: Sequence[Data] = (),
    ) -> UnitWay | None:
        """Ask the ingest of a stream; None: there is none now.

        `make` is given the publisher's number.
        """
        link = self._link_for(stream)
        number = next(self._numbers)
        if link is None or not link.send((encode(make(number)), *payloads)):
            return None
        link.publishers[number] = publisher
        return UnitWay(link, number)

    def check(
        self,
        stream: str,
        make: Callable[[int], PublishCheck],
        on_answer: Callable[[Refusal | None], None],
    ) -> bool:
        """Ask whether one would be refused at once; False: there is nobody to be asked.

        `on_answer` is called once, or never where the ingest goes.
        """
        link = self._link_for(stream)
        number = next(self._numbers)
        if link is None or not link.send((encode(make(number)),)):
            return False
        link.questions[number] = on_answer
        if len(link.questions) > MAX_QUESTIONS:
            del link.questions[next(iter(link.questions))]
        return True

    def _link_for(self, stream: str) -> "_Link | None":
        open_links = [link for link in self._links.values() if not link.is_retiring]
        return max(open_links, key=lambda link: _weight(stream, link.ingest), default=None)

    def close(self) -> None:
        for link in self._links.values():
            link.close()
        self._links.clear()


class _Link(MediaSender):
    """The link to one ingest."""

    def __init__(self, bus: Bus, address: str, ingest: ChildId, is_plain: bool) -> None:
        self.ingest = ingest
        self.publishers: dict[int, UnitPublisher] = {}
        self.questions: dict[int, Callable[[Refusal | None], None]] = {}
        self.is_retiring = False
        super().__init__(bus, address, self._on_answer, is_plain=is_plain)

    def on_down(self) -> None:
        self.cut_off(f"the link to {self.ingest} broke")

    def cut_off(self, reason: str) -> None:
        self.questions.clear()
        publishers = list(self.publishers.values())
        self.publishers.clear()
        for publisher in publishers:
            publisher.on_cut_off(reason)

    def _on_answer(self, answer: Any) -> None:
        if isinstance(answer, PublishChecked):
            if (on_answer := self.questions.pop(answer.number, None)) is not None:
                on_answer(answer.refusal)
            return
        if not isinstance(answer, Answer):
            log.warning("unexpected answer of an ingest kind=%s", type(answer).__name__)
            return
        publisher = self.publishers.get(answer.number)
        if publisher is None:
            return
        if isinstance(answer, PublishRefused | PublishFinished | PublishCutOff):
            del self.publishers[answer.number]
        publisher.on_answer(answer)


def _weight(stream: str, ingest: ChildId) -> bytes:
    """Rendezvous hashing: the highest has the stream, and the others keep theirs without it."""
    return hashlib.sha256(f"{ingest}|{stream}".encode()).digest()

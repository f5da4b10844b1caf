"""Snapshots that are asked of a worker, and what is answered."""

from collections.abc import Sequence
from typing import Any

from common.ipc.api_messages import MAX_JPEG_BYTES, Snapshot, SnapshotWanted
from common.ipc.identity import ChildId, StreamId
from worker.session.progress import SessionCounts
from worker.session.snapshots import MAX_WANTED, WAIT_S, Snapshots

API = ChildId("api")
STREAM = StreamId("live/a")


class OneSession:
    def __init__(self) -> None:
        self.counts = SessionCounts()


class Desk:
    """A worker with one stream, and what it sent."""

    def __init__(self) -> None:
        self.session = OneSession()
        self.sent: list[tuple[Snapshot, Sequence[bytes]]] = []
        self.snapshots = Snapshots(
            lambda stream: self.session if stream == STREAM else None, self._send
        )

    def _send(self, message: Any, payloads: Sequence[bytes]) -> None:
        self.sent.append((message, payloads))

    def want(self, number: int, stream: StreamId = STREAM, now: float = 0.0) -> None:
        self.snapshots.want(SnapshotWanted(number, API, stream), now)

    @property
    def answers(self) -> list[tuple[int, str, Sequence[bytes]]]:
        return [(m.request_id, m.problem, payloads) for m, payloads in self.sent]


def test_it_is_made_of_the_next_picture_and_sent() -> None:
    desk = Desk()
    assert not desk.session.counts.snapshot.is_wanted
    desk.want(1)
    assert desk.session.counts.snapshot.is_wanted
    desk.snapshots.send_made(0.1)
    assert desk.sent == []
    desk.session.counts.snapshot.put(b"jpeg")
    desk.snapshots.send_made(0.2)
    desk.snapshots.send_made(0.3)
    assert desk.answers == [(1, "", [b"jpeg"])]


def test_who_asks_meanwhile_gets_the_same_one() -> None:
    desk = Desk()
    desk.want(1)
    desk.want(2)
    desk.session.counts.snapshot.put(b"jpeg")
    desk.snapshots.send_made(0.2)
    assert desk.answers == [(1, "", [b"jpeg"]), (2, "", [b"jpeg"])]


def test_a_stream_without_pictures_is_given_up() -> None:
    desk = Desk()
    desk.want(1)
    desk.snapshots.send_made(WAIT_S)
    assert desk.answers == [(1, "no picture was decoded", [])]
    assert not desk.session.counts.snapshot.is_wanted


def test_what_cannot_be_made_is_said() -> None:
    desk = Desk()
    desk.want(1, StreamId("live/other"))
    desk.want(2)
    desk.session.counts.snapshot.put(None)
    desk.snapshots.send_made(0.2)
    desk.want(3)
    desk.session.counts.snapshot.put(b"x" * (MAX_JPEG_BYTES + 1))
    desk.snapshots.send_made(0.3)
    assert desk.answers == [
        (1, "its worker does not decode it", []),
        (2, "it could not be made", []),
        (3, "it could not be made", []),
    ]


def test_they_are_bounded() -> None:
    desk = Desk()
    for number in range(MAX_WANTED + 1):
        desk.want(number)
    assert desk.answers == [(MAX_WANTED, "too many are wanted at once", [])]

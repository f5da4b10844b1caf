"""common/link/receiving.py; the other end is in test_forwarding.py"""

from typing import Any

import pytest

from common.errors import LinkError
from common.ipc.unit_messages import METADATA, VIDEO
from common.link.forwarding import MAX_FORWARDED
from common.link.messages import LinkTaken
from common.link.publish_messages import LinkPublishEnd, LinkUnit, LinkUnits
from common.link.pulling import TAKEN_BYTES
from common.link.receiving import MAX_HEAD_BYTES, Receiving
from tests.kit.forward_link import asking

PICTURE = LinkUnit(VIDEO, "h264", 40, 0, 3, 0.0)
HEAD = LinkUnit(METADATA, "", 0, 0, 0, 0.0)


def made() -> tuple[Receiving, list[Any]]:
    said: list[Any] = []
    receiving = Receiving(said.append)
    receiving.take(asking(), [], 10, 0.0)
    receiving.answer(1, None)
    said.clear()
    return receiving, said


def test_what_came_is_acknowledged_by_size_and_by_time() -> None:
    receiving, said = made()
    receiving.take(LinkUnits(1, (PICTURE,)), [b"u"], TAKEN_BYTES, 0.0)
    assert said == [LinkTaken(TAKEN_BYTES + 10)]
    receiving.take(LinkUnits(1, (PICTURE,)), [b"u"], 100, 0.5)
    receiving.tick(0.6)
    assert len(said) == 1
    receiving.tick(1.1)
    receiving.tick(2.2)
    assert said[1:] == [LinkTaken(100)]


def test_nothing_is_said_of_one_that_has_ended() -> None:
    receiving, said = made()
    came: list[Any] = []
    receiving.take(LinkPublishEnd(1, "", True), [], 10, 0.0)
    receiving.on_received = came.append
    receiving.take(LinkUnits(1, (PICTURE,)), [b"u"], 10, 0.0)
    assert came == []
    receiving.answer(1, None)
    assert said == []
    assert receiving.numbers == ()


def test_a_large_header_is_not_kept() -> None:
    receiving, _ = made()
    large = [b"m" * (MAX_HEAD_BYTES + 1)]
    came: list[Any] = []
    receiving.on_received = came.append
    for _ in range(2):
        receiving.take(LinkUnits(1, (HEAD,)), large, 10, 0.0)
    assert len(came) == 2
    for _ in range(2):
        receiving.take(LinkUnits(1, (HEAD,)), [b"m"], 10, 0.0)
    assert len(came) == 3


def test_there_is_a_most() -> None:
    receiving, _ = made()
    for number in range(2, MAX_FORWARDED + 1):
        receiving.take(asking(number), [], 10, 0.0)
    with pytest.raises(LinkError, match="more than"):
        receiving.take(asking(MAX_FORWARDED + 1), [], 10, 0.0)

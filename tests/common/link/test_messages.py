"""common/link/messages.py"""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import LinkError
from common.ipc.control_messages import SupervisorBeat
from common.ipc.envelope import encode
from common.ipc.identity import BootId, Generation
from common.link.messages import (
    MAX_RENDITIONS,
    LinkClosed,
    LinkGreeting,
    LinkHeaders,
    LinkInstead,
    LinkRefused,
    LinkTag,
    LinkTags,
    LinkTaken,
    LinkUnwanted,
    LinkWanted,
    Relay,
    read_message,
)
from tests.kit.host_link import EDGE, STREAM, TEMPLATE, VIDEO_FACTS, opened

TAG = LinkTag(9, "h264", 40, 0, 1, 0.01)
G = Generation(3)
GOOD: list[tuple[Any, list[bytes]]] = [
    (EDGE, []),
    (LinkRefused("why"), []),
    (LinkWanted(STREAM, ("720p",)), []),
    (LinkUnwanted(STREAM), []),
    (opened(), []),
    (LinkClosed(STREAM, 7, "over", 2000), []),
    (LinkHeaders(STREAM, 7, G, "720p", VIDEO_FACTS), [b"script", b"header"]),
    (LinkTags(STREAM, 7, G, "720p", (TAG, TAG)), [b"one", b"two"]),
    (LinkTags(STREAM, 7, G, "", ()), []),
    (LinkTaken(1024), []),
    (LinkInstead(STREAM), []),
    (LinkInstead(STREAM, (Relay("host-c", "10.0.0.3:1936"),)), []),
]
BAD: list[tuple[Any, list[bytes], str]] = [
    (LinkGreeting(1, "farm", "h" * 256, "b"), [], "characters"),
    (LinkRefused("w" * 256), [], "characters"),
    (LinkWanted(STREAM, ()), [], "0 renditions of a stream"),
    (LinkWanted(STREAM, ("a",) * (MAX_RENDITIONS + 1)), [], "renditions"),
    (LinkWanted("live/cam", ("720p",)), [], "digest"),
    (LinkWanted("AB" * 32, ("720p",)), [], "digest"),
    (LinkUnwanted(STREAM), [b"x"], "payloads"),
    (replace(opened(), epoch=-1), [], "below 0"),
    (LinkClosed(STREAM, 7, "over", -1), [], "held"),
    (LinkHeaders(STREAM, 7, G, "720p", VIDEO_FACTS), [b"script"], "payloads"),
    (LinkHeaders(STREAM, 7, G, "a", VIDEO_FACTS._replace(width=-1)), [b"", b""], "no pictures"),
    (LinkHeaders(STREAM, 7, G, "a", VIDEO_FACTS._replace(fps_den=0)), [b"", b""], "no number"),
    (replace(opened(), template=replace(TEMPLATE, hold_ms=-1)), [], "none may have"),
    (LinkTags(STREAM, 7, G, "720p", (TAG,)), [], "payloads"),
    (LinkTags(STREAM, 1 << 60, G, "720p", (TAG,)), [b""], "beyond"),
    *[
        (LinkTags(STREAM, 7, G, "720p", (tag,)), [b""], "a tag has")
        for tag in (
            TAG._replace(type=7),
            TAG._replace(codec="c" * 256),
            TAG._replace(dts_ms=1 << 60),
            TAG._replace(composition_ms=1 << 24),
            TAG._replace(flags=8),
            TAG._replace(flags=-1),
            TAG._replace(age_s=-1.0),
            TAG._replace(age_s=float("nan")),
            TAG._replace(age_s=float("inf")),
        )
    ],
    (LinkTaken(-1), [], "below 0"),
    (LinkTaken(-1), [], "a number"),
    (LinkInstead(STREAM, (Relay("host-c", "c:1936"),) * 65), [], "65 hosts to ask instead"),
    (LinkInstead(STREAM, (Relay("h" * 300, "c:1936"),)), [], "a name of more"),
    (replace(opened(), path=("h",) * 17), [], "17 hosts on the way"),
    (SupervisorBeat(BootId("b" * 16)), [], "no message of the link"),
]


@pytest.mark.parametrize(("message", "payloads"), GOOD, ids=lambda value: type(value).__name__)
def test_a_message_comes_back_as_it_went(message: Any, payloads: list[bytes]) -> None:
    assert read_message(encode(message), payloads) == message


@pytest.mark.parametrize(("message", "payloads", "words"), BAD)
def test_what_no_host_may_say_is_refused(message: Any, payloads: list[bytes], words: str) -> None:
    with pytest.raises(LinkError, match=words):
        read_message(encode(message), payloads)


@given(st.binary(max_size=200), st.lists(st.binary(max_size=8), max_size=3))
def test_any_bytes_are_a_message_or_an_error(envelope: bytes, payloads: list[bytes]) -> None:
    with pytest.raises(LinkError):
        read_message(envelope, payloads)


@given(st.sampled_from(GOOD), st.integers(0, 5000), st.integers(0, 255))
def test_a_message_with_a_changed_byte_is_one_or_an_error(
    good: tuple[Any, list[bytes]], at: int, byte: int
) -> None:
    envelope = bytearray(encode(good[0]))
    envelope[at % len(envelope)] = byte
    with suppress(LinkError):
        read_message(bytes(envelope), good[1])

"""common/link/publish_messages.py"""

from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.access.credentials import Credentials
from common.access.refusal import Refusal, RefusalReason
from common.config.ladder import SourceFormat
from common.config.overrides import StreamOverrides
from common.errors import LinkError
from common.ipc.envelope import encode
from common.ipc.identity import StreamId
from common.ipc.unit_messages import AUDIO_CONFIG, VIDEO
from common.link.messages import read_message
from common.link.publish_messages import (
    MAX_GOP_ITEMS,
    MAX_ID,
    MAX_UNITS,
    LinkPublishAnswer,
    LinkPublishCut,
    LinkPublishEnd,
    LinkPublishEnded,
    LinkPublishHeld,
    LinkPublishTimed,
    LinkTime,
    LinkUnit,
    LinkUnits,
)
from tests.kit.forward_link import asking

UNIT = LinkUnit(VIDEO, "h264", 40, 0, 3, 0.01)
IN_USE = Refusal(RefusalReason.NAME_IN_USE, "it is in use", is_lasting=True, detail="by whom")
LONG = "w" * (MAX_ID + 1)
TIME = LinkTime(40, 0.5, 80, 1_800_000_000_000)
GOOD: list[tuple[Any, list[bytes]]] = [
    (asking(), []),
    (asking(7, TIME), []),
    (LinkPublishAnswer(1), []),
    (LinkPublishAnswer(1, IN_USE), []),
    (LinkUnits(1, (UNIT, UNIT._replace(kind=AUDIO_CONFIG))), [b"one", b""]),
    (LinkUnits(1, ()), []),
    (LinkPublishEnd(1, "it stopped", False), []),
    (LinkPublishEnded(1, IN_USE), []),
    (LinkPublishEnded(1, None, "the server is stopping"), []),
    (LinkPublishTimed(1, 40, 80), []),
    (LinkPublishHeld(1, 0.5), []),
    (LinkPublishCut(1, "its ingest is gone"), []),
    (replace(asking(1, TIME), gop_items=3, format=SourceFormat(1280, 720)), []),
    (LinkPublishAnswer(1, None, TIME), []),
]
BAD: list[tuple[Any, list[bytes], str]] = [
    (replace(asking(), number=-1), [], "number"),
    (replace(asking(), number=1 << 60), [], "number"),
    *[
        (replace(asking(), stream_id=StreamId(name)), [], "without a stream")
        for name in ("", "live", "live/", "/cam")
    ],
    (replace(asking(), stream_id=StreamId("live/" + LONG)), [], "characters"),
    (replace(asking(), address=LONG), [], "characters"),
    (replace(asking(), credentials=Credentials("a", LONG)), [], "characters"),
    (replace(asking(), overrides=StreamOverrides(play_keys=("k",) * 257)), [], "keys"),
    (asking(1, replace(TIME, age_s=-1.0)), [], "time"),
    (asking(1, replace(TIME, age_s=float("nan"))), [], "time"),
    (asking(1, replace(TIME, end_ms=1 << 60)), [], "time"),
    (asking(), [b"x"], "payloads"),
    (replace(asking(), gop_items=3), [], "brings"),
    (replace(asking(1, TIME), gop_items=MAX_GOP_ITEMS + 1), [], "brings"),
    (replace(asking(1, TIME), format=SourceFormat(-1, 720)), [], "no pictures"),
    (replace(asking(1, TIME), format=SourceFormat(1, 1, Fraction(0))), [], "no pictures"),
    (LinkPublishTimed(1, 1 << 60, 0), [], "none has"),
    (LinkPublishHeld(1, float("nan")), [], "held"),
    (LinkPublishAnswer(1, None, replace(TIME, age_s=-1.0)), [], "none"),
    (LinkPublishAnswer(1, replace(IN_USE, words=LONG)), [], "characters"),
    (LinkPublishEnded(1, replace(IN_USE, detail=LONG)), [], "characters"),
    (LinkPublishEnd(1, LONG, True), [], "characters"),
    (LinkUnits(1, (UNIT,)), [], "payloads"),
    (LinkUnits(1, (UNIT,) * (MAX_UNITS + 1)), [b""] * (MAX_UNITS + 1), "units"),
    *[
        (LinkUnits(1, (unit,)), [b""], "a unit has")
        for unit in (
            UNIT._replace(kind="picture"),
            UNIT._replace(codec=LONG),
            UNIT._replace(stamp_ms=1 << 60),
            UNIT._replace(composition_ms=1 << 40),
            UNIT._replace(flags=8),
            UNIT._replace(age_s=-1.0),
            UNIT._replace(age_s=float("nan")),
        )
    ],
]


@pytest.mark.parametrize(("message", "payloads"), GOOD, ids=lambda value: type(value).__name__)
def test_a_message_comes_back_as_it_went(message: Any, payloads: list[bytes]) -> None:
    assert read_message(encode(message), payloads) == message


@pytest.mark.parametrize(("message", "payloads", "words"), BAD)
def test_what_no_host_may_say_is_refused(message: Any, payloads: list[bytes], words: str) -> None:
    with pytest.raises(LinkError, match=words):
        read_message(encode(message), payloads)


@given(st.sampled_from(GOOD), st.integers(0, 5000), st.integers(0, 255))
def test_a_message_with_a_changed_byte_is_one_or_an_error(
    good: tuple[Any, list[bytes]], at: int, byte: int
) -> None:
    envelope = bytearray(encode(good[0]))
    envelope[at % len(envelope)] = byte
    with suppress(LinkError):
        read_message(bytes(envelope), good[1])

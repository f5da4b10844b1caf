"""common/ipc/unit_messages.py: what a child may send of its publishers."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.access.credentials import Credentials
from common.access.refusal import Refusal, RefusalReason
from common.errors import EnvelopeError
from common.ipc.control_messages import GopTransfer
from common.ipc.envelope import decode, encode
from common.ipc.gop_items import TransferItem, TransferKind
from common.ipc.identity import Generation
from common.ipc.status_messages import LineFigures
from common.ipc.unit_messages import (
    KINDS,
    MAX_FIELDS,
    MAX_ITEMS,
    Judged,
    PublishAsk,
    PublishCheck,
    PublishLine,
    PublishOver,
    PublishRefused,
    UnitItem,
    Units,
    check,
)
from common.media.clock import ClockReference, ResumeTime
from tests.kit.ingest_ports import STREAM

ASK = PublishAsk(1, "live", "cam", "203.0.113.7:5000", "srt", {"key": "sesame"})
CHECK = PublishCheck(1, "live", "cam", "203.0.113.7:5000", "srt", {"key": "sesame"})
LINE = LineFigures("srt", 120, 20.5, 1000, 50, 0)
RESUME = ResumeTime(ClockReference(40, 1.5), 40, 0)
GOP = GopTransfer(STREAM, Generation(1), None, (TransferItem(TransferKind.METADATA),))
VIDEO = UnitItem("video", "h264", 40, 0, 1, 1.5)
GOOD: list[tuple[Any, list[bytes]]] = [
    (ASK, []),
    (replace(ASK, judged=Judged(Credentials("203.0.113.7", "k1"))), []),
    (CHECK, []),
    (replace(ASK, resume=RESUME), []),
    (replace(ASK, resume=RESUME, gop=GOP), [b"gop"]),
    (Units(1, ()), []),
    (Units(1, (VIDEO, UnitItem("audio", "aac", -3))), [b"one", b""]),
    (PublishOver(1, "it left"), []),
    (PublishLine(1, LINE), []),
]
BAD: list[tuple[Any, list[bytes], str]] = [
    (replace(ASK, number=-1), [], "number"),
    (replace(ASK, app="a" * 256), [], "app of 256"),
    (replace(ASK, key="a" * 256), [], "key of 256"),
    (replace(ASK, peer="a" * 256), [], "peer of 256"),
    (replace(ASK, encoder="a" * 256), [], "encoder of 256"),
    (replace(ASK, query={"a": "b" * 5000}), [], "query"),
    (replace(ASK, query={str(n): "" for n in range(MAX_FIELDS + 1)}), [], "query"),
    (replace(CHECK, key="a" * 256), [], "key of 256"),
    (ASK, [b"x"], "1 payloads"),
    (replace(ASK, gop=GOP), [b"gop"], "1 payloads"),
    (replace(ASK, resume=RESUME, gop=GOP), [], "0 payloads"),
    (replace(ASK, resume=replace(RESUME, end_ms=1 << 60)), [], "time"),
    (replace(ASK, resume=replace(RESUME, reference=ClockReference(0, float("nan")))), [], "time"),
    (Units(1, (VIDEO,)), [], "0 payloads for 1"),
    (Units(1, (VIDEO,) * (MAX_ITEMS + 1)), [b""] * (MAX_ITEMS + 1), "exceed"),
    (Units(1, (VIDEO._replace(kind="flv"),)), [b""], "no unit"),
    (Units(1, (VIDEO._replace(stamp_ms=1 << 60),)), [b""], "time"),
    (Units(1, (VIDEO._replace(composition_ms=-(1 << 30)),)), [b""], "time"),
    (Units(1, (VIDEO._replace(received_s=float("inf")),)), [b""], "time"),
    (PublishOver(1, "w" * 300), [], "reason of 300"),
    (PublishLine(1, replace(LINE, rtt_ms=float("nan"))), [], "round trip"),
    (PublishRefused(1, Refusal(RefusalReason.FAILED, "no")), [], "not for an ingest"),
]


@pytest.mark.parametrize(("value", "payloads"), GOOD)
def test_what_may_be_sent_comes_as_it_went(value: Any, payloads: list[bytes]) -> None:
    assert decode(encode(value)) == value
    check(value, payloads)


@pytest.mark.parametrize(("value", "payloads", "why"), BAD)
def test_what_may_not_is_refused_with_what_is_wrong(
    value: Any, payloads: list[bytes], why: str
) -> None:
    with pytest.raises(EnvelopeError, match=why):
        check(value, payloads)


def test_what_is_a_credential_is_shown_nowhere() -> None:
    assert "cam" not in repr(ASK)
    assert "sesame" not in repr(ASK)
    assert "cam" not in repr(CHECK)


@given(st.lists(st.sampled_from(sorted(KINDS)), max_size=4), st.integers(0, 5))
def test_units_have_a_payload_each(kinds: list[str], payloads: int) -> None:
    units = Units(1, tuple(UnitItem(kind) for kind in kinds))
    if payloads == len(kinds):
        check(units, [b""] * payloads)
    else:
        with pytest.raises(EnvelopeError):
            check(units, [b""] * payloads)

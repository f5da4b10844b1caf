"""supervisor/processes/rights.py: what each kind of child may say, and is told."""

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.config.settings import Settings
from common.ipc import control_messages
from common.ipc.capture_messages import CaptureWritten
from common.ipc.cluster_messages import ClusterView, OwnerWanted, StreamOwner
from common.ipc.control_messages import (
    Endpoint,
    Heartbeat,
    Hello,
    Positions,
    PublishEnd,
    PublishRequest,
    SessionEnd,
    StreamTrouble,
    StreamWanted,
)
from common.ipc.endpoint import UNIX, endpoint
from common.ipc.identity import BootId, ChildId, Generation, StreamId
from common.ipc.kinds import KINDS
from common.ipc.push_messages import PushReport
from common.ipc.record_messages import RecordReport
from common.ipc.socket_peers import SENDERS
from common.ipc.status_messages import ChildFloods, TranscodeStatus
from supervisor.processes.rights import known_to, may_say, own_endpoint
from tests.kit.children import CPU0, CPU1, EGRESS0, INGEST0

RUN_DIR = Path("/run/farm")
BOOT = BootId("0123456789abcdef")
STREAM, ONE = StreamId("live/cam"), Generation(1)
AUDIO = ChildId("audio")


def address(child: ChildId, name: str, boot_id: BootId = BOOT) -> str:
    scheme = (UNIX,) if name in ("handover", "viewers", "decrypted", "pools") else ()
    return endpoint(RUN_DIR, child, boot_id, name, *scheme)


def end(child: ChildId, boot_id: BootId, pid: int, names: Iterable[str]) -> Endpoint:
    sockets: dict[str, Any] = {name: address(child, name, boot_id) for name in names}
    return Endpoint(child, boot_id, pid=pid, **sockets)


RUNNING = tuple(
    end(child, BOOT, 100 + number, KINDS[child.kind].sockets)
    for number, child in enumerate((INGEST0, CPU0, CPU1, EGRESS0, AUDIO))
)


@pytest.mark.parametrize(
    ("message", "kinds"),
    [
        (PublishRequest(1, STREAM, "192.0.2.1"), {"ingest"}),
        (PublishEnd(STREAM, ONE, ""), {"ingest"}),
        (CaptureWritten(1, STREAM), {"ingest"}),
        (StreamTrouble(CPU0, STREAM, ONE, ""), {"worker"}),
        (SessionEnd(CPU0, TranscodeStatus(STREAM, ONE, 0, 0, 0.0, 0, ())), {"worker"}),
        (Positions(1, STREAM, None), {"egress", "web", "rtc", "push", "record", "relay"}),
        (
            StreamWanted(EGRESS0, STREAM),
            {"egress", "audio", "web", "rtc", "push", "record", "relay"},
        ),
        (
            ChildFloods(CPU0, "more than may wait"),
            {"egress", "ingest", "web", "rtc", "push", "relay"},
        ),
        (OwnerWanted(STREAM), {"relay"}),
        (PushReport((), 0), {"push"}),
        (RecordReport((), 0), {"record"}),
        (StreamOwner("ab" * 32), {"cluster"}),
        (ClusterView(), {"cluster"}),
        (Heartbeat(CPU0, BOOT), set(KINDS)),
        (Settings(), {name for name, kind in KINDS.items() if not kind.is_sandboxed}),
    ],
)
def test_a_child_says_what_its_kind_says(message: object, kinds: set[str]) -> None:
    assert {kind for kind in KINDS if may_say(kind, message)} == kinds


def test_every_message_of_children_is_said_by_some_kind() -> None:
    source = Path(control_messages.__file__).read_text()
    _, _, of_children = source.partition("# ---- child → supervisor")
    of_children, _, _ = of_children.partition("# ---- supervisor → child")
    names = re.findall(r"^@message\(.*\n@dataclass\(.*\nclass (\w+):", of_children, re.MULTILINE)
    assert len(names) > 10
    for name in {*names} - {"Hello", "Fatal"}:  # of those the process itself is looked at
        blank = object.__new__(getattr(control_messages, name))
        assert any(may_say(kind, blank) for kind in KINDS), name


@pytest.mark.parametrize(
    ("child", "told"),
    [
        (
            INGEST0,
            {CPU0: {"media"}, CPU1: {"media"}, EGRESS0: {"tags", "handover"}, AUDIO: {"tags"}},
        ),
        (CPU0, {INGEST0: set(), EGRESS0: {"tags"}, AUDIO: {"tags"}}),
        (EGRESS0, {INGEST0: set(), CPU0: set(), CPU1: set()}),
        (AUDIO, {INGEST0: set(), CPU0: set(), CPU1: set()}),
    ],
)
def test_a_child_is_told_whom_it_connects_to_and_who_connects_to_it(
    child: ChildId, told: dict[ChildId, set[str]]
) -> None:
    found = known_to(child.kind, RUNNING)
    assert {e.child: {n for n in SENDERS if getattr(e, n)} for e in found} == told
    for one in found:
        assert one.pid, "it knows its process"
        assert bool(one.boot_id) == bool(told[one.child]), "which is in its sockets' names"


@pytest.mark.parametrize("child", [INGEST0, CPU0, EGRESS0, AUDIO])
def test_a_child_announces_the_sockets_of_its_kind_and_incarnation_alone(child: ChildId) -> None:
    other = BootId("f" * 16)
    for boot_id in (BOOT, other):
        said = end(child, boot_id, 1, SENDERS)
        hello = Hello(child, BOOT, 4711, 1, replace(said, child=EGRESS0))
        own = KINDS[child.kind].sockets if boot_id == BOOT else ()
        assert own_endpoint(hello, RUN_DIR) == end(child, BOOT, 4711, own)


@given(st.text(), st.sampled_from(["ipc://", "unix://", ""]))
def test_no_address_leads_out_of_the_run_directory(text: str, scheme: str) -> None:
    for said in (text, f"{text}/{BOOT}.media", f"/elsewhere/{text}-{BOOT}.media"):
        hello = Hello(CPU0, BOOT, 1, 1, Endpoint(CPU0, BOOT, media=scheme + said))
        found = own_endpoint(hello, RUN_DIR).media
        assert not found or Path(found.removeprefix(scheme)).parent == RUN_DIR

"""common/ipc/socket_peers.py: which processes a socket hears."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.ipc.control_messages import Endpoint
from common.ipc.identity import BootId, ChildId
from common.ipc.kinds import KINDS
from common.ipc.socket_peers import SENDERS, PeerState, SocketPeers
from tests.kit.children import CPU0, EGRESS0, INGEST0

BOOT = BootId("b" * 16)
AUDIO = ChildId("audio")
ENCODER = ChildId("encoder")
PIDS = {INGEST0: 11, CPU0: 12, EGRESS0: 13, AUDIO: 14, ENCODER: 16}
RUNNING = tuple(Endpoint(child, BOOT, pid=pid) for child, pid in PIDS.items())


@pytest.mark.parametrize(
    ("socket", "heard"),
    [
        ("media", {INGEST0}),
        ("tags", {INGEST0, CPU0, ENCODER}),
        ("handover", {INGEST0}),
        ("viewers", set()),
        ("pictures", {CPU0}),
        ("pools", {CPU0}),
        ("decrypted", set()),
    ],
)
def test_a_socket_hears_the_kinds_that_its_work_needs(socket: str, heard: set[ChildId]) -> None:
    peers = SocketPeers(socket)
    assert {peers.state(pid) for pid in PIDS.values()} == {PeerState.UNKNOWN}
    peers.follow(RUNNING)
    for child, pid in PIDS.items():
        expected = PeerState.ADMITTED if child in heard else PeerState.FOREIGN
        assert peers.state(pid) is expected, child
        assert peers.child(pid) == child
    assert peers.state(15) is peers.state(0) is PeerState.UNKNOWN


def test_a_process_of_zero_stands_for_any_if_its_kind_may_send() -> None:
    peers = SocketPeers("media")
    peers.follow((Endpoint(EGRESS0, BOOT), Endpoint(CPU0, BOOT)))
    assert peers.state(7) is PeerState.UNKNOWN
    peers.follow((Endpoint(INGEST0, BOOT), Endpoint(EGRESS0, BOOT)))
    assert peers.state(7) is PeerState.ADMITTED
    assert peers.child(7) is None


@given(
    st.dictionaries(st.integers(1, 9), st.sampled_from(sorted(PIDS))),
    st.sampled_from(sorted(SENDERS)),
)
def test_nobody_is_admitted_but_a_child_of_a_kind_that_may_send(
    running: dict[int, ChildId], socket: str
) -> None:
    peers = SocketPeers(socket)
    peers.follow(Endpoint(child, BOOT, pid=pid) for pid, child in running.items())
    for pid in range(10):
        child = running.get(pid)
        admitted = child is not None and child.kind in SENDERS[socket]
        assert (peers.state(pid) is PeerState.ADMITTED) == admitted


def test_every_socket_of_a_kind_is_in_the_table() -> None:
    assert {name for kind in KINDS.values() for name in kind.sockets} == set(SENDERS)
    assert {kind for kinds in SENDERS.values() for kind in kinds} <= set(KINDS)
    fields = set(Endpoint.__dataclass_fields__)
    assert set(SENDERS) == fields - {"child", "boot_id", "pid", "is_retiring"}


def test_the_table_of_docs_security_has_every_socket_and_who_is_heard_there() -> None:
    text = (Path(__file__).parents[3] / "docs" / "security.md").read_text()
    section = text.partition("## Sockets between processes")[2].partition("\n## ")[0]
    rows = [row.strip("|").split("|") for row in re.findall(r"^\| `.*", section, re.MULTILINE)]
    found = {row[0].strip().strip("`"): tuple(map(str.strip, row[1:3])) for row in rows}
    assert found.pop("control")[0] == "supervisor"
    assert found == {
        name: (
            ", ".join(sorted(kind.name for kind in KINDS.values() if name in kind.sockets)),
            ", ".join(sorted(kinds)),
        )
        for name, kinds in SENDERS.items()
    }
    table = section.partition("| kind | can |")[2]
    kinds_there = re.findall(r"^\| ([a-z, ]+) \|", table, re.MULTILINE)
    named = {kind for kinds in kinds_there for kind in kinds.split(", ")}
    assert named == set(KINDS), "what each of them can still do"

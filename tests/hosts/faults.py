"""Faults of hosts, of the network between them and of their etcd: `make faults ARGS=--cluster`."""

import contextlib
import math
import socket
import ssl
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Final

from common.ipc.envelope import encode
from common.ipc.plain.frames import FrameReader, to_parts
from common.link.messages import VERSION, LinkGreeting, read_message
from common.process.certificate_files import mutual_contexts
from tests.faults.load import LoadPlayer
from tests.faults.scene import KEYS, seen_by
from tests.hosts import causes
from tests.hosts.causes import cluster_of, wait_registered
from tests.hosts.three_hosts import RELAY_PORT, Row, ThreeHosts, first_new_s, sources
from tests.kit.certificates import Authority
from tests.kit.farm import Farm, tfarm
from tests.kit.measured_table import MeasuredTable, holds, with_note
from tests.kit.waiting import until

AGAIN_S: Final = 6.0
AWAY_S: Final = 30.0
SPLIT_S: Final = 15.0
TIMES: Final = 1_000
UPGRADE_S: Final = 120.0  # of one host, three of which share the cores here


def host_killed() -> Row:
    """All of a host at once, with the member of etcd that leads.

    It has a stream whose publisher goes to another host then, and one whose publisher is at another
    host all the time.
    """
    with ThreeHosts() as three:
        direct, forwarded = (three.load.publishers[key] for key in KEYS[:2])
        three.move(forwarded, three.others[1])
        three.load.ask(forwarded.drop)
        until(lambda: forwarded.is_in, 10, "it is in again", every=0.02)
        three.wait_pictures(three.players(KEYS))
        three.move(direct, three.others[0])
        at, losses = time.monotonic(), forwarded.losses
        three.first.kill()
        until(lambda: direct.is_in and direct.since_s > at, 15, "it is in", every=0.01)
        accepted_s = direct.since_s - at
        three.wait_pictures(three.players(KEYS))
        time.sleep(2.0)  # sleep: what follows shows by then
        row = three.judge("a host killed, etcd's leader on it", KEYS[:2], at)
        local, remote = _waits(three, KEYS[0], at, direct.since_s)
        beside, elsewhere = _waits(three, KEYS[1], at)
        wait_registered([host.farm for host in three.others], 2)
        losses = forwarded.losses - losses
    row.seen = (
        f"its publisher accepted elsewhere after {accepted_s:.2f} s, {len(direct.refusals)} "
        f"refusals; new picture after {local:.2f} s at that host, {remote:.2f} s at the other; "
        f"the publisher at another host lost {losses} times, new picture after {beside:.2f} s at "
        f"that host, {elsewhere:.2f} s at the other"
    )
    row.limit = (
        "accepted at once, picture ≤ 1.5 s after that; forwarded ≤ 3 s, others lose 0, "
        "0 disconnected"
    )
    is_right = not row.lost and not row.repeated and not row.disconnected and not losses
    worst = max(local, remote) - accepted_s
    row.ok = is_right and not direct.refusals and worst <= 1.5 and max(beside, elsewhere) <= 3.0
    return row


def _waits(
    three: ThreeHosts, key: str, at: float, not_before_s: float = 0.0
) -> tuple[float, float]:
    """The longest at players of a stream where its publisher is now, and at others."""
    local, remote = [0.0], [0.0]
    for player in three.players([key]):
        wait = first_new_s(seen_by(player, at), not_before_s)
        is_local = _host(player.url) == _host(three.load.publishers[key].url)
        (local if is_local else remote).append(wait)
    return max(local), max(remote)


def _host(url: str) -> str:
    return url.split("/")[2]


def etcd_member_killed() -> Row:
    return _etcd("a member of etcd killed", lambda t: causes.kill_member(t.etcd, leader=False))


def etcd_leader_killed() -> Row:
    return _etcd("the leader of etcd killed", lambda t: causes.kill_member(t.etcd, leader=True))


def etcd_away() -> Row:
    def away(three: ThreeHosts) -> None:
        causes.stop_all(three.etcd, AWAY_S, lambda: _publish(three))

    return _etcd(f"all of etcd stopped for {AWAY_S:g} s", away)


def etcd_wiped() -> Row:
    return _etcd("all data of etcd wiped", lambda three: causes.wipe(three.etcd))


def cluster_child_stopped() -> Row:
    """It is the owner's of two streams; none moves."""
    return _etcd(
        "the process cluster stopped for 3 s", lambda three: causes.stop_child(three.first.farm)
    )


def _publish(three: ThreeHosts) -> None:
    """See that a new publisher is let in."""
    url = three.others[0].url("meanwhile")
    publisher = three.load.publish(url, "meanwhile", three.clip)
    until(lambda: publisher.is_in, 5, "a publisher is let in meanwhile", every=0.02)
    three.load.ask(publisher.leave)


def _etcd(fault: str, cause: Callable[[ThreeHosts], None]) -> Row:
    """A fault that no stream is to notice."""
    with ThreeHosts() as three:
        owners = _owners(three)
        at = time.monotonic()
        cause(three)
        took_s = wait_registered([host.farm for host in three.hosts], 3)
        time.sleep(1.5)  # sleep: what a fault costs comes a moment after it
        row = three.judge(fault, (), at)
        moved = owners != _owners(three)
    row.seen = f"registered again after {took_s:.1f} s, streams {'moved' if moved else 'stay'}"
    row.limit = f"0 lost, 0 disconnected, registered again ≤ {AGAIN_S:g} s, no stream moves"
    is_right = not row.lost and not row.repeated and not row.disconnected
    row.ok = is_right and took_s <= AGAIN_S and not moved
    return row


def _owners(three: ThreeHosts) -> list[tuple[str, int]]:
    return [(host["name"], host["streams"]) for host in cluster_of(three.first.farm)["hosts"]]


def split() -> Row:
    """A host is cut off from the others with its publisher; another one comes on the other side."""
    with ThreeHosts() as three:
        first, other = three.first, three.others[0]
        old = three.load.publishers[KEYS[0]]
        at_first = [three.play(first, KEYS[0]) for _ in range(4)]
        three.wait_pictures(three.load.players)
        at = time.monotonic()
        first.space.cut()
        new = three.load.publish(other.url(KEYS[0]), "new", three.other_clip)
        until(lambda: new.is_in, 15, "a publisher on the other side is let in", every=0.02)
        accepted_s = new.since_s - at
        time.sleep(max(0.0, at + SPLIT_S - time.monotonic()))  # sleep: so long are they apart
        is_there = old.is_in
        three.load.ask(lambda: setattr(old, "again", False))
        healed = time.monotonic()
        first.space.heal()
        until(lambda: not old.is_in, 10, "the old owner ends its publisher", every=0.01)
        ended_s = time.monotonic() - healed
        three.wait_pictures(three.load.players)
        time.sleep(1.5)  # sleep: what follows shows by then
        row = three.judge(f"a host cut off for {SPLIT_S:g} s", KEYS[:2], at)
        mixed = sum(_is_mixed(three, player) for player in three.players(KEYS[:1]))
        late = [_first_s(three, p, healed) for p in at_first]
        others = max(seen_by(p, at).lost for p in three.players(KEYS[2:]))
        theirs = [_first_s(three, p, at) for p in three.players(KEYS[:1]) if p not in at_first]
    row.lost, row.first_s = others, max(late)
    row.seen = (
        f"the other publisher accepted after {accepted_s:.1f} s and lost {new.losses} times, its "
        f"pictures at all players there after {max(theirs):.1f} s, the old publisher "
        f"{'' if is_there else 'NOT '}there up to the heal and ended {ended_s:.2f} s after it, "
        f"{mixed} players with both at a time"
    )
    row.limit = "0 mixed, 0 disconnected, monotone, the old owner ends ≤ 2 s after the heal"
    row.ok = not mixed and not row.disconnected and not row.repeated and is_there
    row.ok = row.ok and not new.losses and ended_s <= 2.0 and not others and row.first_s < math.inf
    return row


def drained() -> Row:
    """A host gives its streams to the others: one that is published there, one forwarded to it."""
    with ThreeHosts() as three:
        first = three.first
        direct, forwarded = (three.load.publishers[key] for key in KEYS[:2])
        three.move(forwarded, three.others[1])
        three.load.ask(forwarded.drop)
        until(lambda: forwarded.is_in, 10, "it is in again", every=0.02)
        for key in KEYS[:2]:
            for _ in range(4):
                three.play(first, key)
        three.wait_pictures(three.load.players)
        time.sleep(2.0)  # sleep: what the forwarded one's return cost is over by then
        at, losses = time.monotonic(), direct.losses + forwarded.losses
        done = first.farm.cli("drain", "--all")
        until(lambda: not first.farm.streams(), 30, "its devices are empty", every=0.05)
        empty_s = time.monotonic() - at
        time.sleep(4.0)  # sleep: what follows shows by then
        three.wait_pictures(three.load.players)
        row = three.judge("a host drained", (), at)
        found = [_lost_by_host(three, key, at) for key in KEYS[:2]]
        losses = direct.losses + forwarded.losses - losses
    row.seen = (
        f"devices empty after {empty_s:.2f} s; lost of the stream published there: {found[0]}; "
        f"of the one forwarded there: {found[1]}; publishers lost {losses} times"
    )
    row.limit = "0 lost, 0 repeated, 0 disconnected, devices empty ≤ 5 s"
    is_right = not row.lost and not row.repeated and not row.disconnected and not losses
    row.ok = is_right and empty_s <= 5.0 and done.returncode == 0
    return row


def rolling_upgrade() -> Row:
    """One host after the other goes over to another version: here to the same one.

    Two streams are published at other hosts than theirs, and all are played at others, too.
    """
    with ThreeHosts() as three:
        hosts = (three.first, *three.others)
        for key, host in zip(KEYS[1:3], (three.others[1], three.first), strict=True):
            forwarded = three.load.publishers[key]
            three.move(forwarded, host)
            three.load.ask(forwarded.drop)
            until(lambda one=forwarded: one.is_in, 10, "it is in again", every=0.02)  # type: ignore[misc]  # mypy: a lambda's default
        for key in KEYS:
            for _ in range(2):
                three.play(three.first, key)
        three.wait_pictures(three.load.players)
        time.sleep(2.0)  # sleep: what the forwarded ones' return cost is over by then
        at, publishers = time.monotonic(), list(three.load.publishers.values())
        before = sum(publisher.losses for publisher in publishers)
        done = [
            tfarm("upgrade", "--run-dir", str(host.farm.run_dir), timeout=UPGRADE_S)
            for host in hosts
        ]
        took_s = time.monotonic() - at
        time.sleep(3.0)  # sleep: what follows shows by then
        late = [three.play(host, key) for host in hosts for key in KEYS]
        three.wait_pictures(three.load.players)
        row = three.judge("all hosts upgraded, one after the other", (), at)
        losses = sum(publisher.losses for publisher in publishers) - before
        retiring = [_retiring(host.farm, "relay") for host in hosts]
    row.seen = (
        f"in {took_s:.0f} s; publishers lost {losses} times, two of them forwarded; "
        f"{len(late)} players that came later have pictures; "
        f"{' + '.join(map(str, retiring))} relays of before serve on"
    )
    row.limit = "0 lost, 0 repeated, 0 disconnected"
    is_right = not row.lost and not row.repeated and not row.disconnected and not losses
    row.ok = is_right and not any(one.returncode for one in done)
    for one in done:
        if one.returncode:
            print(one.stdout, one.stderr)
    return row


def _retiring(farm: Farm, kind: str) -> int:
    children = farm.status()["children"]
    return sum(c["name"].startswith(f"{kind}:") and c["state"] == "retiring" for c in children)


def _lost_by_host(three: ThreeHosts, key: str, at: float) -> str:
    """The pictures that the worst player of each host lost."""
    owner = next((host for host in three.hosts if key in host.farm.streams()), None)
    lost = {host: 0 for host in three.hosts}
    for player in three.players([key]):
        host = next(h for h in three.hosts if h.space.client_address in player.url)
        lost[host] = max(lost[host], seen_by(player, at).lost)
    names = {three.first: "at the drained host", owner: "at the new owner"}
    return ", ".join(f"{lost[host]} {names.get(host, 'elsewhere')}" for host in three.hosts)


def _first_s(three: ThreeHosts, player: LoadPlayer, at: float) -> float:
    """When a player got the other publisher's sound."""
    own = {tag.body for tag in three.other_clip.media if tag.type == 8}
    own -= {tag.body for tag in three.clip.media}
    return next((came - at for came, _, body in player.sounds if body in own), math.inf)


def _is_mixed(three: ThreeHosts, player: LoadPlayer) -> bool:
    """Tell if a player was sent the old one's media behind the new one's, or times stepped back."""
    order = sources(player, (three.clip, three.other_clip))
    times = [picture.dts_ms for picture in player.pictures if not picture.is_header]
    return order not in ([0], [1], [0, 1]) or any(b <= a for a, b in pairwise(times))


def one_key_twice() -> Row:
    """Two publishers of one key in the same moment at two hosts."""
    with ThreeHosts(is_loaded=False) as three:
        wrong = causes.publish_twice([host.url for host in three.others], TIMES)
    row = Row(f"one key at two hosts at once, {TIMES} times", ok=not wrong)
    row.seen = f"{TIMES - wrong} times one owner, {wrong} times not"
    row.limit = "one owner each time"
    return row


def links_refused() -> Row:
    """Peers of a relay that are no hosts of the cluster, or say that they are others."""
    with ThreeHosts() as three:
        at = time.monotonic()
        relay = three.first.space.address, RELAY_PORT
        found = [_knock(three, relay, number, peer) for number, peer in enumerate(_peers(three), 1)]
        time.sleep(1.0)  # sleep: what they cost shows by then
        row = three.judge("peers of a relay that are no hosts", (), at)
    row.seen = "; ".join(found)
    row.limit = "refused, logged once each, others lose 0, 0 disconnected"
    is_right = not row.lost and not row.repeated and not row.disconnected
    row.ok = is_right and all(words.endswith("refused, 1 line") for words in found)
    return row


def _peers(three: ThreeHosts) -> list[tuple[str, ssl.SSLContext, str]]:
    """What each is, its context, and which host it says that it is."""
    trusted = three.authority.files.certificate
    without = ssl.create_default_context(cafile=str(trusted))
    strangers = Authority(three.folder / "strangers")
    stranger, other = strangers.issue("h3"), three.authority.issue("h9")
    contexts = [
        mutual_contexts(files.certificate, files.key, trusted)[1] for files in (stranger, other)
    ]
    said = three.others[0].name
    return [
        ("no certificate", without, said),
        ("another CA's", contexts[0], "h3"),
        ("another host's name", contexts[1], said),
    ]


def _knock(
    three: ThreeHosts, relay: tuple[str, int], number: int, peer: tuple[str, ssl.SSLContext, str]
) -> str:
    """Try five times, from an address of its own; in words what came of it."""
    what, context, said = peer
    address = three.network.own_address(number)
    greeting = b"".join(to_parts(encode(LinkGreeting(VERSION, "test", said, "boot"))))
    is_let_in = False
    for _ in range(5):
        with (
            contextlib.suppress(OSError),
            socket.create_connection(relay, 5, source_address=(address, 0)) as raw,
            context.wrap_socket(raw, server_hostname=three.first.name) as sock,
        ):
            sock.sendall(greeting)
            reader = FrameReader()
            while data := sock.recv(65536):
                reader.feed(data)
            frame = reader.next()
            is_let_in |= frame is not None and isinstance(read_message(*frame), LinkGreeting)
    lines = three.first.farm.log().count(f"host refused peer={address}:")
    return f"{what}: {'LET IN' if is_let_in else 'refused'}, {lines} line{'s' * (lines != 1)}"


FAULTS: Final[tuple[Callable[[], Row], ...]] = (
    host_killed,
    etcd_member_killed,
    etcd_leader_killed,
    etcd_away,
    etcd_wiped,
    drained,
    rolling_upgrade,
    split,
    cluster_child_stopped,
    one_key_twice,
    links_refused,
)

HEADINGS: Final = (
    "fault",
    "pictures lost",
    "players disconnected",
    "first new picture",
    "seen",
    "limit",
    "holds",
)


def cells(row: Row) -> tuple[str, ...]:
    lost = "-" if row.lost is None else str(row.lost)
    if row.repeated:
        lost += f", {row.repeated} repeated"
    first = "-" if row.first_s is None else f"{row.first_s:.2f} s"
    limit = with_note(row.limit, row.note)
    return row.fault, lost, str(row.disconnected), first, row.seen or "-", limit, holds(row.ok)


TABLE: Final = MeasuredTable(
    "cluster faults", HEADINGS, cells, lambda name, note: Row(name, note=note)
)

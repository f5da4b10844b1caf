"""Faults of peers: players that do not read, connections that say nothing, reconnects for ever."""

import contextlib
import itertools
import socket
import statistics
import time
from collections.abc import Iterable, Sequence

from common.rtmp.blocking_client import RtmpPlayer, RtmpPublisher
from common.rtmp.events import VideoReceived
from tests.faults.load import LoadPlayer
from tests.faults.scene import CLIP, KEYS, RENDITION, Result, Scene, clip, seen_by, vitals
from tests.kit.clients import FlvTag, flv_tags, send_tag
from tests.kit.waiting import until

HANDSHAKE = b"\x03" + bytes(8) + bytes(1528)
MIB = 1 << 20


def _delays_ms(players: Sequence[LoadPlayer], since_s: float, until_s: float) -> dict[str, float]:
    """The median way of a picture by stream, but for a constant of the stream."""
    found: dict[str, list[float]] = {}
    for player in players:
        found.setdefault(player.key, []).extend(
            p.came_s * 1000 - p.dts_ms for p in player.pictures if since_s < p.came_s < until_s
        )
    return {key: statistics.median(values) for key, values in found.items()}


def player_that_never_reads() -> Result:
    watch_s = 8.0
    with Scene() as scene:
        began = time.monotonic()
        time.sleep(watch_s)
        before = vitals(scene.farm)["egress:0"]["memory"]
        lazy = RtmpPlayer(scene.farm.url(KEYS[0], "source"), 10)
        lazy.connect()
        at = time.monotonic()
        time.sleep(watch_s)
        ended = time.monotonic()
        after = vitals(scene.farm)["egress:0"]["memory"]
        lazy.abort()
        row = scene.judge("a player never reads", KEYS, at)
        was = _delays_ms(scene.load.players, began, at)
        now = _delays_ms(scene.load.players, at, ended)
        change_ms = max(abs(now[key] - was[key]) for key in KEYS)
    grown = (after - before) / MIB
    row.first_frame_s = None
    row.limit = "no other player's delay changes by more than 5 ms, memory bounded, 0 lost"
    row.note = f"median delay changed by {change_ms:.1f} ms, egress grew by {grown:.1f} MiB"
    row.ok = change_ms <= 5.0 and grown < 8 and row.lost == 0 and row.disconnected == 0
    row.affected = 0
    return row


def players_come_and_go() -> Result:
    """Streams that nobody plays cross the farm in bundles: who comes and goes notices nothing."""
    unwatched_s, visit_s, every_s, drain_s = 5.0, 1.2, 0.2, 4.0
    with Scene(players_a_stream=0) as scene:
        scene.farm.wait_stream(*KEYS)
        time.sleep(unwatched_s)
        worker = next(iter(scene.by_worker()))
        began = time.monotonic()
        answers: list[int] = []
        visitors: list[LoadPlayer] = []
        stays = itertools.cycle(itertools.product((RENDITION, "source"), KEYS))
        while time.monotonic() < began + 3 * drain_s:
            rendition, key = next(stays)
            player = scene.load.play(scene.farm.url(key, rendition), key, rendition)
            visitors.append(player)
            if len(answers) < 2 and time.monotonic() > began + drain_s * (1 + len(answers)):
                command = ("undrain", worker) if answers else ("drain", worker, "--timeout", "3")
                answers.append(scene.farm.cli(*command).returncode)
            time.sleep(every_s)
            for gone in [p for p in visitors if p.again and p.is_in_for(visit_s)]:
                scene.load.ask(gone.leave)
        time.sleep(visit_s)
        seen = [seen_by(player, began) for player in visitors]
        first = [s.pictures[0].came_s - s.player.asked_s for s in seen if s.pictures]
        losses = sum(player.losses for player in visitors)
    row = Result("players come and go where nobody else plays; a drain meanwhile", len(KEYS))
    row.lost = max(s.lost for s in seen)
    row.repeated = sum(s.repeated for s in seen)
    row.first_frame_s = statistics.median(first)
    row.disconnected = losses
    wait_s = max(s.longest_wait_s for s in seen)
    row.limit = "picture ≤ 0.5 s after connect, no wait > 0.5 s, 0 lost, 0 repeated, 0 disconnected"
    row.note = (
        f"{len(visitors)} players, slowest {max(first):.2f} s, longest wait {wait_s:.2f} s"
        + ("" if answers == [0, 0] else f", drain and undrain gave {answers}")
    )
    row.ok = (
        len(first) == len(visitors)
        and answers == [0, 0]
        and max(first) <= 0.5
        and wait_s <= 0.5
        and row.lost == 0
        and row.repeated == 0
        and row.disconnected == 0
    )
    return row


def _connect(farm_port: int, source: str) -> socket.socket | None:
    peer = socket.socket()
    peer.settimeout(5)
    try:
        peer.bind((source, 0))
        peer.connect(("127.0.0.1", farm_port))
        peer.sendall(HANDSHAKE[:500])
    except OSError:
        peer.close()
        return None
    peer.setblocking(False)
    return peer


def _is_open(peer: socket.socket) -> bool:
    try:
        return peer.recv(4096) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def _in_time(scene: Scene, key: str, tags: Sequence[FlvTag]) -> float:
    """Seconds that a publish and a play take together to be accepted, the slower one."""
    began = time.monotonic()
    with RtmpPublisher(scene.farm.url(key), 10) as publisher:
        publish_s = time.monotonic() - began
        for tag in tags[:6]:
            send_tag(publisher, tag)
        began = time.monotonic()
        with RtmpPlayer(scene.farm.url(KEYS[1], "360p"), 10):
            play_s = time.monotonic() - began
    return max(publish_s, play_s)


def half_handshakes() -> Result:
    """A thousand connections of 250 addresses that stay in the middle of their handshakes."""
    with Scene() as scene, contextlib.ExitStack() as stack:
        tags = flv_tags(clip(CLIP))
        at = time.monotonic()
        peers = []
        for index in range(1_000):
            peer = _connect(scene.farm.port, f"127.0.{1 + index // 200}.{2 + index % 200}")
            if peer is not None:
                peers.append(stack.enter_context(peer))
        slowest = max(_in_time(scene, f"new{n}", tags) for n in range(3))
        held = sum(map(_is_open, peers))
        time.sleep(1.0)
        row = scene.judge("1,000 connections never finish their handshake", KEYS, at)
        until(lambda: not any(map(_is_open, peers)), 15, "all are closed by the deadline")
    row.affected = 0
    row.first_frame_s = None
    row.limit = "publish and play accepted in < 1 s, nobody disconnected, closed by the deadline"
    row.note = f"{held} held at once, publish and play took {slowest:.2f} s at most"
    row.ok = slowest < 1.0 and row.disconnected == 0 and row.lost == 0 and held > 900
    return row


def one_address_floods() -> Result:
    """One address connects as fast as it can: it is limited, and nobody else is."""
    with Scene() as scene:
        tags = flv_tags(clip(CLIP))
        at = time.monotonic()
        lines = len(scene.farm.log().splitlines())
        held: list[socket.socket] = []
        while time.monotonic() - at < 3.0 and len(held) < 2_000:
            peer = _connect(scene.farm.port, "127.0.0.2")
            if peer is not None:
                held.append(peer)
        slowest = _in_time(scene, "new", tags)
        time.sleep(1.0)  # what the kernel accepted has been looked at by then
        let_in = sum(map(_is_open, held))
        for peer in held:
            peer.close()
        logged = len(scene.farm.log().splitlines()) - lines
        row = scene.judge("one address connects in a loop", KEYS, at)
    row.affected = 0
    row.first_frame_s = None
    row.limit = "at most 100 are let in, others in < 1 s, the log stays short"
    row.note = (
        f"{len(held)} tried, {let_in} let in, {logged} log lines, others took {slowest:.2f} s"
    )
    row.ok = let_in <= 100 and slowest < 1.0 and row.disconnected == 0 and logged < 100
    row.ok = row.ok and row.lost == 0
    return row


def _cycle(scene: Scene, index: int, tags: Sequence[FlvTag], sent: int) -> None:
    """A publisher comes with one picture or more, a player too; both go in one of three ways."""
    key = f"again{index % 5}"
    publisher = RtmpPublisher(scene.farm.url(key), 10)
    publisher.connect()
    for tag in tags[:sent]:
        send_tag(publisher, tag)
    player = RtmpPlayer(scene.farm.url(key, ("360p", "source")[index % 2]), 10)
    player.connect()
    match index % 4:
        case 0:
            player.abort()
            publisher.abort()
        case 1:
            publisher.close()
            player.close()
        case 2:
            _await_picture(player)  # so a session was opened for it
            player.close()
            publisher.close()
        case _:
            _await_picture(player)
            publisher.abort()
            player.abort()


def _await_picture(player: RtmpPlayer) -> None:
    while not isinstance(player.next_event(), VideoReceived):
        pass


def reconnects() -> Result:
    """Five hundred publishers and players come and go; what is used is looked at four times.

    A leak is what the last two looks have beyond the first two. In a worker the pages that glibc
    keeps of what codecs freed go up and down by 8 MiB (1,500 rounds: 32 to 39 MiB, no slope), so
    its limit is a coarse one; tests/worker/session/test_leaks.py counts the bytes in use.
    """
    count, looks_at = 500, (125, 250, 375, 500)
    with Scene(hold="0s", keys=KEYS[:1], players_a_stream=4) as scene:
        tags = flv_tags(clip(CLIP))
        at = time.monotonic()
        looks: list[dict[str, dict[str, int]]] = []
        before = _socket_files(scene)
        for index in range(1, count + 1):
            _cycle(scene, index, tags, 12)
            if index in looks_at:
                _settle(scene)
                looks.append(vitals(scene.farm))
        row = scene.judge(f"{count} reconnects", KEYS[:1], at)
        files = _socket_files(scene)

    def grown(what: str, names: Iterable[str]) -> int:
        """By how much at least, in the process where it is most."""
        return max(
            min(look[name][what] for look in looks[2:])
            - max(look[name][what] for look in looks[:2])
            for name in names
        )

    workers = {name for name in looks[0] if name.startswith("worker")}
    others = set(looks[0]) - workers
    in_workers, elsewhere = grown("memory", workers), grown("memory", others)
    descriptors, threads = grown("descriptors", looks[0]), grown("threads", looks[0])
    row.affected = 0
    row.first_frame_s = None
    row.limit = (
        "descriptors, threads, socket files flat in every process, "
        "memory within 2 MiB (workers 10 MiB)"
    )
    row.note = (
        f"from the first 250 to the last: {elsewhere / MIB:+.1f} MiB, workers "
        f"{in_workers / MIB:+.1f} MiB, {descriptors:+d} descriptors, {threads:+d} threads, "
        f"{len(files)} socket files"
    )
    row.ok = (
        elsewhere < 2 * MIB
        and in_workers < 10 * MIB
        and descriptors <= 0
        and threads <= 0
        and files == before
        and row.disconnected == 0
        and row.lost == 0
    )
    if not row.ok:
        print(*looks, before, files, sep="\n")
    return row


def _socket_files(scene: Scene) -> list[str]:
    return sorted(path.name for path in scene.farm.run_dir.rglob("*") if path.is_socket())


def _settle(scene: Scene) -> None:
    """Until only the scene's own streams are left, and what they freed is given back."""
    until(lambda: len(scene.farm.streams()) == 1, 15, "the others have ended", every=0.5)
    time.sleep(2.5)

"""Faults of the farm's own processes: killed, stopped, drained."""

import os
import signal
import statistics
import time
from pathlib import Path

import psutil

from tests.faults.scene import KEYS, PLAYERS_A_STREAM, Result, Scene, seen_by
from tests.kit.waiting import until


def await_pictures(scene: Scene, keys: list[str], since_s: float, timeout: float = 15.0) -> None:
    """Until every player of these streams has had a picture a second after the fault or later."""

    def all_go_on() -> bool:
        return all(
            player.pictures and player.pictures[-1].came_s > max(since_s + 1.0, now - 0.3)
            for player in scene.players(keys)
            for now in (time.monotonic(),)
        )

    until(all_go_on, timeout, f"{keys} go on")
    time.sleep(2.0)  # long enough for what follows a recovery to show


def _worker_with_streams(scene: Scene) -> tuple[str, list[str]]:
    by_worker = scene.by_worker()
    worker = min(by_worker, key=lambda name: len(by_worker[name]))
    return worker, by_worker[worker]


def usual_wait_s(scene: Scene, keys: list[str], since_s: float) -> float:
    """The longest time without a picture, the median of the players.

    No player can have waited longer for its first new one, whatever that is told by.
    """
    return statistics.median(seen.longest_wait_s for seen in scene.seen(keys, since_s))


def kill_worker(scene: Scene | None = None) -> Result:
    with scene or Scene() as scene:
        worker, hit = _worker_with_streams(scene)
        pid = scene.pid(worker)
        at = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        await_pictures(scene, hit, at)
        row = scene.judge("kill -9 a worker", hit, at, is_new_session=True)
        wait_s = usual_wait_s(scene, hit, at)
    row.limit = "0 players disconnected, first new frame and wait ≤ 1.0 s, others lose 0"
    row.note = f"the median player waited {wait_s:.2f} s for a picture"
    row.ok = (
        row.disconnected == 0
        and wait_s <= 1.0
        and row.first_frame_s is not None
        and row.first_frame_s <= 1.0
        and row.others_lost == 0
        and row.repeated == 0
    )
    return row


def stop_worker() -> Result:
    with Scene() as scene:
        worker, hit = _worker_with_streams(scene)
        process = psutil.Process(scene.pid(worker))
        at = time.monotonic()
        process.suspend()
        until(lambda: not process.is_running(), 8, "the stopped worker is killed", every=0.01)
        found_s = time.monotonic() - at
        await_pictures(scene, hit, at)
        row = scene.judge("SIGSTOP a worker", hit, at, is_new_session=True)
        wait_s = usual_wait_s(scene, hit, at)
    row.limit = "seen ≤ 2 s, then first new frame ≤ 1.0 s, 0 disconnected, others lose 0"
    row.note = f"seen after {found_s:.2f} s, the median player waited {wait_s:.2f} s for a picture"
    row.ok = (
        found_s <= 2.0
        and wait_s - found_s <= 1.0
        and row.disconnected == 0
        and row.first_frame_s is not None
        and row.first_frame_s - found_s <= 1.0
        and row.others_lost == 0
        and row.repeated == 0
    )
    return row


def kill_worker_twice() -> Result:
    """The streams aboard two crashes leave the shared workers; the others never notice."""
    with Scene() as scene:
        worker, hit = _worker_with_streams(scene)
        first = time.monotonic()
        os.kill(scene.pid(worker), signal.SIGKILL)
        await_pictures(scene, hit, first)
        streams = scene.farm.streams()
        workers = {str(streams[key]["worker"]) for key in hit}
        pids = [scene.pid(name) for name in workers]
        hit += [k for k, s in streams.items() if s["worker"] in workers and k not in hit]
        at = time.monotonic()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        await_pictures(scene, hit, at, 25)
        row = scene.judge("kill -9 the worker of its streams again", hit, at, is_new_session=True)
        row.note = "then on " + ", ".join(sorted(scene.by_worker()))
    row.limit = "0 disconnected, others lose 0"
    row.ok = row.disconnected == 0 and row.others_lost == 0 and row.repeated == 0
    return row


def kill_worker_of_the_absent() -> Result:
    """The last picture goes on standing in for a publisher when its worker is lost meanwhile."""
    with Scene() as scene:
        hit = KEYS[0]
        gone = scene.publisher(hit)
        scene.load.ask(gone.leave)
        time.sleep(2.0)
        worker = str(scene.farm.streams()[hit]["worker"])
        aboard = scene.by_worker()[worker]
        at = time.monotonic()
        os.kill(scene.pid(worker), signal.SIGKILL)
        await_pictures(scene, aboard, at)
        row = scene.judge("kill -9 a worker while a publisher is away", aboard, at)
        waits = [s.longest_wait_s for s in scene.seen([hit], at)]
        firsts = [s.first_new for s in scene.seen([hit], at)]
        row.first_frame_s = statistics.median(f.came_s - at for f in firsts if f is not None)
        away = not scene.farm.streams()[hit]["is_live"]
    row.limit = "its last picture goes on: no wait > 1.0 s, 0 disconnected, others lose 0"
    row.note = f"longest wait {max(waits):.2f} s, {'still away' if away else 'BACK'}"
    row.ok = (
        away
        and len(firsts) == PLAYERS_A_STREAM
        and max(waits) <= 1.0
        and row.disconnected == 0
        and row.others_lost == 0
        and row.repeated == 0
    )
    return row


def kill_supervisor(scene: Scene | None = None) -> Result:
    with scene or Scene() as scene:
        supervisor = scene.farm.process
        assert supervisor is not None
        before = {p.pid for p in scene.farm.processes()} - {supervisor.pid}
        at = time.monotonic()
        supervisor.kill()
        supervisor.wait()
        time.sleep(2.0)
        scene.farm.start()
        await_pictures(scene, list(KEYS), at)
        row = scene.judge("kill -9 the supervisor, start anew", KEYS, at)
        after = {p.pid for p in scene.farm.processes()}
        row.note = "all children adopted" if before <= after else "CHILDREN LOST"
        row.ok = row.lost == 0 and row.disconnected == 0 and row.repeated == 0 and before <= after
        row.ok = row.ok and set(scene.farm.streams()) == set(KEYS)
    row.affected = 0
    row.first_frame_s = None
    row.limit = "0 lost, 0 disconnected, all adopted"
    return row


def no_supervisor() -> Result:
    """Without another supervisor the children end by themselves, in time and whole."""
    with Scene(orphan_timeout="3s") as scene:
        farm = scene.farm
        supervisor = farm.process
        assert supervisor is not None
        children = farm.processes() - {psutil.Process(supervisor.pid)}
        at = time.monotonic()
        supervisor.kill()
        supervisor.wait()
        _, alive = psutil.wait_procs(list(children), timeout=10)
        took_s = time.monotonic() - at
        left = _sockets(farm.run_dir)
        of_workers = {name for name in left if name.startswith("worker")}
        farm.start()
        stale = left & _sockets(farm.run_dir)
        row = Result("kill -9 the supervisor, none comes (orphan_timeout = 3s)", len(KEYS))
        row.note = f"{len(children)} children ended within {took_s:.1f} s"
        row.ok = not alive and took_s <= 7.0 and left == of_workers and not stale
        if not row.ok:
            row.note += f", left {sorted(left)}, the next start {sorted(stale)}"
    row.limit = "all end ≤ 7 s; socket files: those of sandboxed workers, until the next start"
    return row


def _sockets(run_dir: Path) -> set[str]:
    """Socket files of children: a worker's sandbox lets it make its own, and remove none."""
    found = {path.name for path in run_dir.rglob("*") if path.is_socket()}
    return {name for name in found if "control" not in name}


def kill_egress(scene: Scene | None = None) -> Result:
    with scene or Scene() as scene:
        pid = scene.pid("egress")
        sent = {key: p.losses for key, p in scene.load.publishers.items()}
        at = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        await_pictures(scene, list(KEYS), at)
        row = scene.judge("kill -9 egress; players reconnect", KEYS, at)
        splice = [key for key, p in scene.load.publishers.items() if p.losses != sent[key]]
    row.limit = "publishers untouched, a player has picture ≤ 1.5 s after the kill"
    row.note = "players reconnect at once" + (f"; PUBLISHERS CUT {splice}" if splice else "")
    row.lost = None
    row.repeated = 0  # a joiner begins with the last GOP again
    row.ok = not splice and row.first_frame_s is not None and row.first_frame_s <= 1.5
    return row


def kill_one_egress() -> Result:
    """Of two: who plays at the other one notices nothing."""
    with Scene(more="[egress]\nprocesses = 2\n") as scene:
        names = [c["name"] for c in scene.farm.status()["children"] if c["kind"] == "egress"]
        pids = {name: scene.pid(name) for name in names}
        ports = {name: _peer_ports(pid) for name, pid in pids.items()}
        at = time.monotonic()
        os.kill(pids[names[0]], signal.SIGKILL)
        await_pictures(scene, list(KEYS), at)
        theirs = [p for p in scene.load.players if p.ports[0] in ports[names[0]]]
        others = [p for p in scene.load.players if p.ports[0] in ports[names[1]]]
        assert theirs, "players of the egress that is killed"
        assert others, "players of the other one"
        row = Result("kill -9 one of two egresses", len({p.key for p in theirs}))
        seen = [seen_by(player, at) for player in others]
        row.others_lost = max(s.lost for s in seen)
        row.repeated = sum(s.repeated for s in seen)
        row.disconnected = sum(p.losses for p in scene.load.players)
        firsts = [min(p.came_s for p in t.pictures if p.came_s > t.since_s) - at for t in theirs]
        row.first_frame_s = statistics.median(firsts)
        hit = sum(p.losses for p in others)
        splice = sum(p.losses for p in scene.load.publishers.values())
    row.limit = "players of the other lose 0 and stay, publishers stay, picture ≤ 1.5 s after it"
    row.note = f"{len(theirs)} players of the one, {len(others)} of the other, {hit} of these cut"
    row.ok = (
        hit == 0
        and splice == 0
        and row.others_lost == 0
        and row.repeated == 0
        and row.first_frame_s <= 1.5
        and row.disconnected == len(theirs)
    )
    return row


def kill_one_ingest() -> Result:
    """Of two: publishers at the other one notice nothing, and nobody's players go."""
    with Scene(more="[ingest]\nprocesses = 2\n") as scene:
        by_ingest: dict[str, list[str]] = {}
        for key, stream in scene.farm.streams().items():
            by_ingest.setdefault(str(stream["ingest"]), []).append(key)
        ingest = min(by_ingest, key=lambda name: len(by_ingest[name]))
        hit = by_ingest[ingest]
        at = time.monotonic()
        os.kill(scene.pid(ingest), signal.SIGKILL)
        await_pictures(scene, list(KEYS), at)
        row = scene.judge("kill -9 one of two ingests; its publishers reconnect", hit, at)
        waits = []
        for key in hit:
            back_s = scene.publisher(key).since_s
            assert back_s > at, f"{key} was not disconnected"
            for player in scene.players([key]):
                waits.append(min(p.came_s for p in player.pictures if p.came_s >= back_s) - back_s)
        splice = [k for k, p in scene.load.publishers.items() if p.losses and k not in hit]
        row.first_frame_s = statistics.median(waits)
    row.limit = "players stay, others lose 0, picture ≤ 1.5 s after the publisher is back"
    row.note = f"{len(by_ingest)} ingests had publishers"
    row.lost = None
    row.ok = (
        row.disconnected == 0
        and not splice
        and row.others_lost == 0
        and row.repeated == 0
        and max(waits) <= 1.5
    )
    return row


def _peer_ports(pid: int) -> set[int]:
    """The ports that a process's TCP connections come from."""
    peers = [c.raddr for c in psutil.Process(pid).net_connections("tcp")]
    return {peer.port for peer in peers if peer}


def kill_ingest(scene: Scene | None = None) -> Result:
    with scene or Scene() as scene:
        pid = scene.pid("ingest")
        at = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        await_pictures(scene, list(KEYS), at)
        row = scene.judge("kill -9 ingest; publishers reconnect", KEYS, at)
        waits = []
        for key in KEYS:
            back_s = scene.publisher(key).since_s
            assert back_s > at, f"{key} was not disconnected"
            for player in scene.players([key]):
                new = [p.came_s for p in player.pictures if p.came_s >= back_s]
                waits.append(min(new) - back_s)
        row.first_frame_s = statistics.median(waits)
        row.note = (
            f"publishers back {scene.publisher(KEYS[0]).since_s - at:.2f} s after the kill, "
            f"worst first frame {max(waits):.2f} s after that"
        )
    row.limit = "players stay, picture ≤ 1.5 s after the publisher is back"
    row.lost = None
    row.ok = row.disconnected == 0 and max(waits) <= 1.5 and row.repeated == 0
    return row


def drain_device() -> Result:
    with Scene() as scene:
        worker, hit = _worker_with_streams(scene)
        assert len(hit) == 2
        at = time.monotonic()
        answer = scene.farm.cli("drain", worker, "--timeout", "10")
        took_s = time.monotonic() - at
        time.sleep(2.0)
        row = scene.judge("drain a device with 2 streams", hit, at)
        left = scene.by_worker().get(worker, [])
    row.limit = "0 lost, 0 repeated, order kept, 0 disconnected"
    row.note = f"took {took_s:.1f} s" if answer.returncode == 0 else answer.stderr.strip()[-80:]
    row.first_frame_s = None
    row.ok = (
        answer.returncode == 0
        and not left
        and row.lost == 0
        and row.repeated == 0
        and row.others_lost == 0
        and row.disconnected == 0
    )
    return row

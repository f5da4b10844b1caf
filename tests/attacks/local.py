"""Attacks by another process of the host, which may connect in the run directory."""

import contextlib
import socket
import threading
import time
from pathlib import Path

import zmq

from common.ipc.control_link import control_address
from tests.attacks.sender import Plan
from tests.attacks.stage import Result, Stage

IDLE = 300
GARBAGE_PER_S = 1000
SECONDS = 14.0


def idle_handovers() -> Result:
    """Connections to the handover socket that say nothing, and garbage on the control socket."""
    with Stage(f"{IDLE} idle handovers, garbage on the control socket") as stage:
        run_dir = stage.scene.farm.run_dir
        over = threading.Event()
        threads = [
            threading.Thread(target=work, args=(run_dir, over)) for work in (_idle, _garbage)
        ]
        none = stage.file("none", b"\0")
        plan = Plan(stage.port, ["127.0.0.3"], none, none, 1, 1.0, 1.0, SECONDS)
        for thread in threads:
            thread.start()
        try:
            return stage.attack(plan)
        finally:
            over.set()
            for thread in threads:
                thread.join()


def _idle(run_dir: Path, over: threading.Event) -> None:
    """Hold so many connections, and open another for each that is closed."""
    (path,) = run_dir.glob("*.handover")
    held: list[socket.socket] = []
    while not over.wait(0.01):
        for link in tuple(held):
            with contextlib.suppress(BlockingIOError):
                if not link.recv(1):
                    held.remove(link)
                    link.close()
        for _ in range(IDLE - len(held)):
            link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            link.setblocking(False)
            try:
                link.connect(str(path))
            except OSError:
                link.close()
                break
            held.append(link)
    for link in held:
        link.close()


def _garbage(run_dir: Path, over: threading.Event) -> None:
    with zmq.Context() as context, context.socket(zmq.DEALER) as peer:
        peer.setsockopt(zmq.LINGER, 0)
        peer.connect(control_address(run_dir))
        while not over.wait(0.01):
            for _ in range(GARBAGE_PER_S // 100):
                with contextlib.suppress(zmq.Again):
                    peer.send(b"\xff" * 100, zmq.NOBLOCK)
        time.sleep(0.1)

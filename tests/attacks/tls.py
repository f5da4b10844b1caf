"""Attacks on the port that takes TLS: handshakes, each of which costs milliseconds.

`python -m tests.attacks.tls PORT PER_S SECONDS` is the attacker, a process of its own.
"""

import itertools
import json
import resource
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from common.rtmp.blocking_client import RtmpPlayer
from common.rtmp.events import VideoReceived
from tests.attacks.stage import EXEMPT_NOBODY, Result, Stage
from tests.faults.scene import KEYS, RENDITION
from tests.kit.certificates import make, tls, trusting

PER_S = 100
SECONDS = 14.0
ADDED_S = 0.1
THREADS = 16
ADDRESSES = 50
VIEWERS = 4  # with TLS


def handshakes() -> Result:
    """A hundred a second, each from the first byte, next to streams with TLS and without."""
    with tempfile.TemporaryDirectory() as directory:
        files = make(Path(directory), kind="rsa")
        more = f'[tls]\ncertificate = "{files.certificate}"\nkey = "{files.key}"\n'
        with Stage(
            f"{PER_S} TLS handshakes a second (RSA, 2048 bits) from {ADDRESSES} addresses",
            more=EXEMPT_NOBODY + more,
            listen='rtmps = "127.0.0.1:0"',
            added_s=ADDED_S,
        ) as stage:
            return _attacked(stage)


def _attacked(stage: Stage) -> Result:
    port = stage.scene.farm.tls_port
    viewers = [Viewer(stage.scene.farm.url(key, RENDITION), port) for key in KEYS[:VIEWERS]]
    with stage.watched(SECONDS) as watched:
        began = time.monotonic()
        attacker = subprocess.run(
            [sys.executable, "-m", "tests.attacks.tls", str(port), str(PER_S), str(SECONDS)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            timeout=SECONDS + 30,
            check=True,
        )
    ended = time.monotonic()
    for viewer in viewers:
        viewer.stop()
    facts: dict[str, Any] = json.loads(attacker.stdout)
    result = watched.result
    result.attacker = (
        f"{facts['done']} handshakes, {facts['failed']} failed, "
        f"slowest {facts['slowest_s']:.2f} s, {facts['cpu_s'] / SECONDS:.0%} of a core"
    )
    before_s = max(viewer.gap_s(began - SECONDS / 2, began) for viewer in viewers)
    gap_s = max(viewer.gap_s(began, ended) for viewer in viewers)
    result.limit += ", viewers with TLS the same, no handshake fails"
    result.note += f", with TLS {before_s * 1000:.0f} ms before and {gap_s * 1000:.0f} ms"
    is_shaken = not facts["failed"] and facts["done"] >= 0.9 * PER_S * SECONDS
    result.ok = result.ok and gap_s <= before_s + ADDED_S and is_shaken
    return result


class Viewer:
    """A player with TLS that notes when pictures come."""

    def __init__(self, url: str, port: int) -> None:
        head, _, rest = url.partition("//")
        to = f"{head}//127.0.0.1:{port}/{rest.partition('/')[2]}"
        self._peer = RtmpPlayer(to, 10, prepare=tls(trusting()))
        self._peer.connect()
        self._times: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(15)
        self._peer.close()

    def gap_s(self, since_s: float, until_s: float) -> float:
        """The longest time without a picture."""
        times = [since_s, *(t for t in self._times if since_s < t < until_s), until_s]
        return max(after - before for before, after in itertools.pairwise(times))

    def _run(self) -> None:
        for event in self._peer:
            if isinstance(event, VideoReceived):
                self._times.append(time.monotonic())
            if self._stop.is_set():
                return


class Attacker:
    """So many handshakes a second, from addresses in turn; each connection ends behind it."""

    def __init__(self, port: int, per_s: float, seconds: float) -> None:
        self.done = self.failed = 0
        self.slowest_s = 0.0
        self._port, self._per_s = port, per_s
        self._count = int(per_s * seconds)
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def run(self) -> None:
        self._began = time.monotonic()
        threads = [threading.Thread(target=self._work) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(self) -> None:
        context = trusting()
        while (number := next(self._numbers)) < self._count:
            time.sleep(max(0.0, self._began + number / self._per_s - time.monotonic()))
            began = time.monotonic()
            is_done = self._shake(context, f"127.0.1.{number % ADDRESSES + 1}")
            with self._lock:
                self.done += is_done
                self.failed += not is_done
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)

    def _shake(self, context: ssl.SSLContext, source: str) -> bool:
        try:
            with (
                socket.create_connection(("127.0.0.1", self._port), 10, (source, 0)) as sock,
                context.wrap_socket(sock, server_hostname="127.0.0.1"),
            ):
                return True
        except OSError:
            return False


if __name__ == "__main__":
    attacker = Attacker(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))
    attacker.run()
    used = resource.getrusage(resource.RUSAGE_SELF)
    facts = {
        "done": attacker.done,
        "failed": attacker.failed,
        "slowest_s": attacker.slowest_s,
        "cpu_s": used.ru_utime + used.ru_stime,
    }
    print(json.dumps(facts), flush=True)

"""An attack on viewers' HTTP: reloads that block, addresses that trick, requests that never end.

A viewer by low-latency HLS watches beside the players of every row; he misses no part.

    python -m tests.attacks.web HOST:PORT SECONDS     the attacker, all from one address
"""

import asyncio
import contextlib
import http.client
import json
import re
import resource
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import psutil

from tests.attacks.stage import EXEMPT_NOBODY, Result, Stage
from tests.faults.scene import KEYS, RENDITION

ROOT: Final = Path(__file__).parents[2]
SECONDS: Final = 14.0
RELOADS: Final = 5_000  # that block, each on a connection of its own
SLOW: Final = 200  # requests whose end never comes
TRICKS_PER_S: Final = 50
SOURCE: Final = "127.0.0.2"
MEMORY_MIB: Final = 128  # that `web` may take more
WAIT_S: Final = 1.0  # for an answer: players keep 1.37 s from the end, and a part is a third
REQUEST_S: Final = 10.0
MORE: Final = EXEMPT_NOBODY + "[web]\nenabled = true\n"
PLAYLIST: Final = f"/live/{KEYS[0]}/{RENDITION}/index.m3u8"
TRICKS: Final = (
    "/../../etc/passwd",
    "/live/%2e%2e/%2e%2e/etc/passwd",
    "/live//index.m3u8",
    f"/live/{KEYS[0]}/%00/index.m3u8",
    f"/live/{KEYS[0]}/{RENDITION}/{'9' * 40}.m4s",
    f"{PLAYLIST}?_HLS_msn={'9' * 40}",
    f"{PLAYLIST}?_HLS_part=1",
    f"{PLAYLIST}?_HLS_msn=1&_HLS_part=-1",
    "/live/" + "a" * 3_000,
)
_HINT: Final = re.compile(r'PRELOAD-HINT:TYPE=PART,URI="(\d+)\.(\d+)\.m4s\?([^"]+)')
Facts = dict[str, Any]


def reloads_and_tricks() -> Result:
    name = f"{RELOADS} blocked reloads, {SLOW} slow requests and path tricks by HTTP, 1 address"
    with Stage(name, more=MORE, listen='http = "127.0.0.1:0"') as stage:
        farm = stage.scene.farm
        (address,) = farm.status()["listen"]["web"]
        web = psutil.Process(farm.child("web")["pid"])
        command = [sys.executable, "-m", "tests.attacks.web", address, str(SECONDS)]
        with contextlib.closing(Viewer(address)) as viewer, stage.watched(SECONDS) as watched:
            undisturbed = viewer.seen()
            memory = web.memory_info().rss
            out = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, check=True)
            seen = viewer.seen()
            grown_mib = (web.memory_info().rss - memory) / 2**20
        return _judged(watched.result, json.loads(out.stdout), undisturbed, seen, grown_mib)


def _judged(
    result: Result, facts: Facts, undisturbed: Facts, seen: Facts, grown_mib: float
) -> Result:
    result.attacker = f"{facts['what']}, {facts['cpu_s'] / SECONDS:.0%} of a core"
    result.limit += (
        f", a viewer by HLS is refused nothing and waits ≤ {WAIT_S:g} s for an answer, "
        f"web takes ≤ {MEMORY_MIB} MiB more"
    )
    before_ms, after_ms = (1000 * one["wait_s"] for one in (undisturbed, seen))
    result.note += (
        f", by HLS {seen['answers']} answers, {seen['refused']} refused, waits of "
        f"{before_ms:.0f} ms before and {after_ms:.0f} ms, web {grown_mib:+.0f} MiB"
    )
    result.ok = (
        result.ok
        and seen["answers"] > 0
        and not seen["refused"]
        and seen["wait_s"] <= WAIT_S
        and grown_mib <= MEMORY_MIB
        and not facts["wrong"]
    )
    if facts["wrong"]:
        result.note += f", wrong: {facts['wrong']}"
    return result


class Viewer(threading.Thread):
    """Reloads a playlist by blocking, on one connection, and notes how long each answer takes."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self._client = http.client.HTTPConnection(address, timeout=20)
        self._is_over = False
        self._facts = Counter[str]()
        self._wait_s = 0.0
        self._next = PLAYLIST
        self._ask()
        self.start()

    def seen(self) -> Facts:
        """What was seen since the last call."""
        facts, self._facts = self._facts, Counter()
        wait_s, self._wait_s = self._wait_s, 0.0
        return {"answers": facts["answers"], "refused": facts["refused"], "wait_s": wait_s}

    def run(self) -> None:
        while not self._is_over:
            began = time.monotonic()
            self._ask()
            self._wait_s = max(self._wait_s, time.monotonic() - began)

    def close(self) -> None:
        self._is_over = True
        self.join(30)
        self._client.close()

    def _ask(self) -> None:
        self._client.request("GET", self._next)
        response = self._client.getresponse()
        text = response.read().decode()
        hint = _HINT.search(text)
        is_good = response.status == 200 and hint is not None
        self._facts["answers" if is_good else "refused"] += 1
        if hint is not None:
            self._next = f"{PLAYLIST}?{hint[3]}&_HLS_msn={hint[1]}&_HLS_part={hint[2]}"


# ---- a process of its own: the attacker ---------------------------------------------------------


class Attacker:
    """All of it, from one address."""

    def __init__(self, address: str, seconds: float) -> None:
        host, _, port = address.rpartition(":")
        self._at = host, int(port)
        self._until_s = time.monotonic() + seconds
        self.counts = Counter[str]()

    async def run(self) -> Facts:
        for _ in range(5):
            for number in range(len(TRICKS)):
                await self._trick(number)
        playlist = (await self._ask(PLAYLIST))[1]
        hint = _HINT.search(playlist)
        query = f"{hint[3]}&_HLS_msn={int(hint[1]) + 1}" if hint is not None else "_HLS_msn=1"
        tasks = [self._reloads(f"{PLAYLIST}?{query}") for _ in range(RELOADS)]
        tasks += [self._slow() for _ in range(SLOW)]
        await asyncio.gather(*tasks, self._tricks(), return_exceptions=True)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        counts = dict(sorted(self.counts.items()))
        wrong = {name: count for name, count in counts.items() if name.startswith("wrong")}
        what = ", ".join(f"{count} {name}" for name, count in counts.items())
        return {"what": what, "cpu_s": usage.ru_utime + usage.ru_stime, "wrong": wrong}

    async def _reloads(self, target: str) -> None:
        while time.monotonic() < self._until_s:
            status, _ = await self._ask(target)
            self.counts[f"reloads answered {status or 'by a close'}"] += 1
            if status not in (0, 200, 400, 503):
                self.counts[f"wrong: {status}"] += 1
            await asyncio.sleep(0.5)

    async def _slow(self) -> None:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(*self._at, local_addr=(SOURCE, 0))
            writer.write(b"GET " + PLAYLIST.encode() + b" HTTP/1.1\r\nX-Slow: ")
            left_s = max(1.0, self._until_s - time.monotonic())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(), left_s)
                self.counts["slow requests ended"] += 1
            writer.close()

    async def _tricks(self) -> None:
        number = 0
        while time.monotonic() < self._until_s:
            await self._trick(number % len(TRICKS))
            number += 1
            await asyncio.sleep(1 / TRICKS_PER_S)

    async def _trick(self, number: int) -> None:
        status, _ = await self._ask(TRICKS[number])
        self.counts["tricks"] += 1
        if status not in (0, 400, 403, 404, 414, 503):
            self.counts[f"wrong: {status} for trick {number}"] += 1

    async def _ask(self, target: str) -> tuple[int, str]:
        """Status and body; 0: it was closed, or came too late."""
        writer = None
        try:
            async with asyncio.timeout(REQUEST_S):
                reader, writer = await asyncio.open_connection(*self._at, local_addr=(SOURCE, 0))
                writer.write(
                    f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
                )
                answer = (await reader.read()).decode(errors="replace")
        except (OSError, TimeoutError):
            return 0, ""
        finally:
            if writer is not None:
                writer.close()
        return (int(answer[9:12]) if answer[9:12].isdigit() else 0), answer


def main() -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    attacker = Attacker(sys.argv[1], float(sys.argv[2]))
    print(json.dumps(asyncio.run(attacker.run())))


if __name__ == "__main__":
    main()

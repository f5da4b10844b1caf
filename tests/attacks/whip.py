"""Attacks on publishers by WHIP: floods at their UDP port, sessions that never send.

Beside the players of every row there are some of a stream that is published by WHIP: their gaps
count as all others' do.

    python -m tests.attacks.whip NAME HOST:PORT URL SECONDS     an attacker: the port is of UDP
"""

import asyncio
import json
import re
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp
import psutil

from common.extras import WEBRTC, install_words, is_installed
from common.webrtc.dtls import Certificate
from tests.attacks.srt import judged
from tests.attacks.stage import EXEMPT_NOBODY, Result, Stage
from tests.attacks.webrtc import CROWD, STUN_PER_S, Deaf, addresses, send_datagrams
from tests.faults.scene import CLIP, RENDITION, clip
from tests.kit.whip_client import SENDING, WhipPublisher

ROOT: Final = Path(__file__).parents[2]
SECONDS: Final = 14.0
VICTIM: Final = "browser"
PLAYERS: Final = 4  # of that stream
MORE: Final = EXEMPT_NOBODY + "[web]\nenabled = true\n[webrtc]\nenabled = false\n"
LISTEN: Final = 'http = "127.0.0.1:0"\nwhip = "127.0.0.1:0"'
Facts = dict[str, Any]

# ---- the rows -----------------------------------------------------------------------------------


def stun_flood() -> Result:
    return _attacked(
        f"{STUN_PER_S} datagrams of STUN, DTLS and RTCP a second of nobody to the port of WHIP",
        "stun",
    )


def silent_sessions() -> Result:
    return _attacked(
        f"publishers by WHIP from {CROWD} addresses whose DTLS handshakes never end, and who send "
        "no media",
        "silent",
    )


def _attacked(name: str, attack: str) -> Result:
    if not is_installed(WEBRTC):
        raise RuntimeError(f"WebRTC is not installed: {install_words(WEBRTC)}")
    with Stage(name, more=MORE, listen=LISTEN) as stage:
        farm = stage.scene.farm
        farm.wait_log("peers=publishers")
        found = re.search(r"WebRTC listens address=(\S+) peers=publishers", farm.log())
        assert found is not None
        (http,) = farm.status()["listen"]["web"]
        with WhipPublisher(f"http://{http}/live/{VICTIM}/whip", clip(CLIP)):
            farm.wait_stream(VICTIM, timeout=20)
            for _ in range(PLAYERS):
                stage.scene.load.play(farm.url(VICTIM, RENDITION), VICTIM, RENDITION)
            stage.scene.wait_for_pictures()
            stage.begin_anew()
            child = psutil.Process(farm.child("whip")["pid"])
            with stage.watched(SECONDS) as watched:
                memory = child.memory_info().rss
                url = f"http://{http}/live/"
                command = [sys.executable, "-m", "tests.attacks.whip"]
                command += [attack, found[1], url, str(SECONDS)]
                out = subprocess.run(
                    command, stdout=subprocess.PIPE, text=True, cwd=ROOT, check=True
                )
                grown_mib = (child.memory_info().rss - memory) / 2**20
            stays = bool(farm.streams()[VICTIM]["is_live"])
        return judged(watched.result, "whip", json.loads(out.stdout), grown_mib, stays=stays)


# ---- a process of its own: the attacker ---------------------------------------------------------


class DeafPublisher(Deaf):
    """It would publish, and hears no DTLS."""

    offer = SENDING


async def stay_silent(udp: str, url: str, seconds: float) -> Facts:
    """Ask for sessions again and again, say hello by DTLS, and send nothing."""
    counts, wrong = Counter[str](), Counter[str]()
    certificate = Certificate()

    async def hold(address: str, until_s: float) -> None:
        connector = aiohttp.TCPConnector(local_addr=(address, 0))
        publishers: list[DeafPublisher] = []
        async with aiohttp.ClientSession(connector=connector) as session:
            while time.monotonic() < until_s:
                one = DeafPublisher(certificate, address)
                number = len(publishers) + counts["refused"]
                try:
                    to = f"{url}silent-{address}-{number}/whip"
                    prints = await one.ask(session, to)
                except AssertionError as error:
                    counts["refused"] += 1
                    if not str(error).strip():
                        wrong["a refusal without words"] += 1
                    one.close()
                    await asyncio.sleep(0.5)
                    continue
                publishers.append(one)
                counts["begun"] += 1
                await asyncio.sleep(0.02)
                one.begin_dtls(prints)
            for left in publishers:
                left.close()

    until_s = time.monotonic() + seconds
    await asyncio.gather(*(hold(address, until_s) for address in addresses(CROWD)))
    what = f"{counts['begun']} sessions begun, {counts['refused']} refused"
    return {"what": what, "wrong": dict(wrong) or ""}


ATTACKERS: Mapping[str, Callable[[str, str, float], Coroutine[Any, Any, Facts]]] = {
    "stun": send_datagrams,
    "silent": stay_silent,
}


def main(arguments: Sequence[str]) -> None:
    name, udp, url, seconds = arguments
    facts = asyncio.run(ATTACKERS[name](udp, url, float(seconds)))
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps(facts | {"cpu_s": used.ru_utime + used.ru_stime}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

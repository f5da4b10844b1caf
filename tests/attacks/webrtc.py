"""Attacks on WebRTC: its UDP port, its offers by WHEP, its handshakes, its reports.

Each row has viewers by WebRTC beside the players of every row; they may lose no packet.

    python -m tests.attacks.webrtc watch URL VIEWERS              those viewers
    python -m tests.attacks.webrtc NAME HOST:PORT URL SECONDS     an attacker: the port is of UDP
"""

import asyncio
import contextlib
import json
import random
import re
import resource
import secrets
import socket
import struct
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
from common.webrtc import stun
from common.webrtc.dtls import Certificate
from tests.attacks.stage import EXEMPT_NOBODY, Result, Stage
from tests.faults.scene import KEYS, RENDITION
from tests.kit.sdp import SMALL
from tests.kit.whep_load import LightViewer

ROOT: Final = Path(__file__).parents[2]
SECONDS: Final = 14.0
VIEWERS: Final = 4
MEMORY_MIB: Final = 64  # that `rtc` may take more
WAIT_S: Final = 0.3  # a viewer's between two packets, beyond what a quiet host has
ADDRESSES: Final = 50
MORE: Final = EXEMPT_NOBODY + '[web]\nenabled = true\n[webrtc]\nlisten = "127.0.0.1:0"\n'
Facts = dict[str, Any]

# ---- the rows -----------------------------------------------------------------------------------


def stun_flood() -> Result:
    return _attacked(f"{STUN_PER_S} datagrams of STUN, DTLS and RTCP a second of nobody", "stun")


def offers() -> Result:
    return _attacked(f"{OFFERS_PER_S} broken or huge offers a second by WHEP", "offers")


def half_handshakes() -> Result:
    return _attacked(f"sessions from {CROWD} addresses whose DTLS handshakes never end", "dtls")


def reports() -> Result:
    return _attacked(
        f"{REPORTS_PER_S} reports a second, junk and NACKs of all, from {LIARS} viewers", "rtcp"
    )


def _attacked(name: str, attack: str) -> Result:
    if not is_installed(WEBRTC):
        raise RuntimeError(f"WebRTC is not installed: {install_words(WEBRTC)}")
    with Stage(name, more=MORE, listen='http = "127.0.0.1:0"') as stage:
        farm = stage.scene.farm
        farm.wait_log("WebRTC listens")
        (http,) = farm.status()["listen"]["web"]
        found = re.search(r"WebRTC listens address=(\S+)", farm.log())
        assert found is not None
        url = f"http://{http}/live/{KEYS[0]}/{RENDITION}/whep"
        rtc = psutil.Process(farm.child("rtc")["pid"])
        with _program("watch", url, str(VIEWERS), stdin=subprocess.PIPE) as viewers:
            assert viewers.stdin is not None
            assert viewers.stdout is not None
            assert viewers.stdout.readline() == "ready\n", "viewers that do not watch"
            with stage.watched(SECONDS) as watched:
                memory = rtc.memory_info().rss
                undisturbed = _ask(viewers)
                with _program(attack, found[1], url, str(SECONDS)) as attacker:
                    out, _ = attacker.communicate(timeout=SECONDS + 60)
                seen = _ask(viewers)
                grown_mib = (rtc.memory_info().rss - memory) / 2**20
            viewers.stdin.close()
        facts: Facts = json.loads(out)
        return _judged(watched.result, facts, undisturbed, seen, grown_mib)


def _judged(
    result: Result, facts: Facts, undisturbed: Facts, seen: Facts, grown_mib: float
) -> Result:
    result.attacker = f"{facts['what']}, {facts['cpu_s'] / SECONDS:.0%} of a core"
    result.limit += (
        f", viewers by WebRTC lose no packet and wait ≤ undisturbed + {WAIT_S:g} s, "
        f"rtc takes ≤ {MEMORY_MIB} MiB more, each refusal has words"
    )
    before_ms, after_ms = (1000 * one["wait_s"] for one in (undisturbed, seen))
    result.note += (
        f", by WebRTC {seen['packets']} packets, {seen['lost']} lost, waits of {before_ms:.0f} ms "
        f"before and {after_ms:.0f} ms, rtc {grown_mib:+.0f} MiB"
    )
    result.ok = (
        result.ok
        and not seen["lost"]
        and seen["packets"] > 0
        and seen["wait_s"] <= undisturbed["wait_s"] + WAIT_S
        and grown_mib <= MEMORY_MIB
        and not facts["wrong"]
    )
    if facts["wrong"]:
        result.note += f", wrong: {facts['wrong']}"
    return result


def _program(*arguments: str, stdin: int | None = None) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.attacks.webrtc", *arguments]
    return subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def _ask(viewers: "subprocess.Popen[str]") -> Facts:
    """What viewers have seen since they were asked last."""
    assert viewers.stdin is not None
    assert viewers.stdout is not None
    print("go", file=viewers.stdin, flush=True)
    found: Facts = json.loads(viewers.stdout.readline())
    return found


# ---- processes of their own: the viewers --------------------------------------------------------


async def watch(url: str, count: int) -> None:
    """Have so many viewers; at each word on stdin say what they have seen since the last."""
    certificate = Certificate()
    viewers = [LightViewer(certificate) for _ in range(count)]
    async with aiohttp.ClientSession() as http:
        for viewer in viewers:
            await viewer.watch(http, url)
        await asyncio.sleep(1.0)  # the group that they begin with
        print("ready", flush=True)
        for viewer in viewers:
            viewer.longest_wait_s = 0.0
        while await asyncio.to_thread(sys.stdin.readline):
            facts = {
                "packets": sum(viewer.packets for viewer in viewers),
                "lost": sum(viewer.lost for viewer in viewers),
                "wait_s": max(viewer.longest_wait_s for viewer in viewers),
            }
            print(json.dumps(facts), flush=True)
            for viewer in viewers:
                viewer.packets = viewer.lost = 0
                viewer.longest_wait_s = 0.0
        for viewer in viewers:
            viewer.close()


# ---- … and the attackers ------------------------------------------------------------------------

STUN_PER_S: Final = 10_000
OFFERS_PER_S: Final = 100
CROWD: Final = 10  # addresses that want more sessions together than may connect at once
LIARS: Final = 4
REPORTS_PER_S: Final = 4_000
STEP_S: Final = 0.01


def addresses(count: int) -> list[str]:
    return [f"127.0.1.{number + 1}" for number in range(count)]


def datagrams_of_nobody() -> list[bytes]:
    """Of every kind that the port knows, and of none; all prove nothing."""
    noise = random.Random(5)
    request = stun.binding_request("nobody:x", "p" * 24, bytes(12))
    too_long = request[:2] + struct.pack("!H", 0xFFFC) + request[4:]
    attribute = request[:20] + struct.pack("!HH", 6, 0xFFFF) + request[24:]
    return [
        request,
        request[:21],
        too_long,
        attribute,
        b"\x01\x01" + request[2:],  # an answer that nobody has asked for
        b"\x16\xfe\xff" + noise.randbytes(60),
        b"\x80\xc8" + noise.randbytes(60),
        b"\x80\x60" + noise.randbytes(1200),
        noise.randbytes(40),
        b"",
    ]


async def paced(per_s: float, seconds: float, one: Callable[[int], object]) -> int:
    """Call so many times a second; how often it was."""
    began, done = time.monotonic(), 0
    while (at := time.monotonic() - began) < seconds:
        for _ in range(round(at * per_s) - done):
            one(done)
            done += 1
        await asyncio.sleep(STEP_S)
    return done


async def send_datagrams(udp: str, url: str, seconds: float) -> Facts:
    host, _, port = udp.rpartition(":")
    sockets = []
    for address in addresses(ADDRESSES):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((address, 0))
        sock.setblocking(False)
        sockets.append(sock)
    datagrams = datagrams_of_nobody()

    def one(number: int) -> None:
        sock = sockets[number % ADDRESSES]
        with contextlib.suppress(OSError):
            sock.sendto(datagrams[number % len(datagrams)], (host, int(port)))

    count = await paced(STUN_PER_S, seconds, one)
    answered = 0
    for sock in sockets:
        try:
            sock.recv(2048)
            answered += 1
        except OSError:
            pass
        sock.close()
    return {"what": f"{count} datagrams", "wrong": f"{answered} answered" if answered else ""}


LET_IN: Final = {201, 503}  # so many, until too many do not connect


def bad_offers() -> list[tuple[bytes, set[int]]]:
    """Offers that cannot be, with the statuses that are right."""
    media = "m=video 9 UDP/TLS/RTP/SAVPF " + " ".join(map(str, range(96, 127))) + "\r\n"
    line = "a=rtpmap:102 H264/90000\r\n"
    small = SMALL.replace("\r\n", "\n").replace("\n", "\r\n")
    texts = [
        ("v=0\r\n" + "a=x\r\n" * 12_000, {400}),
        ("v=0\r\n" + media * 300, {400}),
        ("v=0\r\na=" + "x" * 60_000, {400, 406}),
        (small + line * 2_000, LET_IN),  # as large as an offer may be
        (small + "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n" * 1_200, LET_IN),
        (small.replace("H264", "VP8"), {406}),
        (small.replace("a=rtcp-mux", "a=none"), {406}),
        ("v=0\r\n" + "\0" * 1_000, {400, 406}),
        ("hello", {400}),
        ("", {400}),
    ]
    found = [(text.encode(), right) for text, right in texts]
    return [*found, (b"v=0\r\n" + b"\xff" * 1_000, {400}), (b"v=0\r\n" + b"x" * 2**20, {413})]


async def send_offers(udp: str, url: str, seconds: float) -> Facts:
    found: Counter[int] = Counter()
    wrong: Counter[str] = Counter()
    tasks: set[asyncio.Task[None]] = set()
    known = bad_offers()
    sessions = [
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=(address, 0)))
        for address in addresses(ADDRESSES)
    ]

    async def ask(number: int) -> None:
        body, right = known[number % len(known)]
        headers = {"Content-Type": "application/sdp"}
        try:
            async with sessions[number % ADDRESSES].post(
                url, data=body, headers=headers
            ) as response:
                words = await response.text()
        except aiohttp.ClientError:
            found[0] += 1  # it was closed while a body too large came
            return
        found[response.status] += 1
        if response.status not in right:
            wrong[f"{response.status} to {body[:40]!r}"] += 1
        elif not words.strip():
            wrong[f"{response.status} without words"] += 1

    def one(number: int) -> None:
        if len(tasks) < 500:
            task = asyncio.ensure_future(ask(number))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    await paced(OFFERS_PER_S, seconds, one)
    await asyncio.gather(*tasks)
    for session in sessions:
        await session.close()
    what = ", ".join(f"{count} with {status or 'a reset'}" for status, count in found.items())
    return {"what": f"{found.total()} offers answered: {what}", "wrong": dict(wrong) or ""}


async def leave_handshakes(udp: str, url: str, seconds: float) -> Facts:
    """Have all sessions that an address may have, say hello by DTLS, and nothing else."""
    counts: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    certificate = Certificate()

    async def hold(address: str, until_s: float) -> None:
        connector = aiohttp.TCPConnector(local_addr=(address, 0))
        viewers: list[Deaf] = []
        async with aiohttp.ClientSession(connector=connector) as session:
            while time.monotonic() < until_s:
                viewer = Deaf(certificate, address)
                try:
                    prints = await viewer.ask(session, url)
                except AssertionError as error:
                    counts["refused"] += 1
                    if "try again" not in str(error):
                        wrong[str(error)[:60]] += 1
                    await asyncio.sleep(0.5)
                    continue
                viewers.append(viewer)
                counts["begun"] += 1
                await asyncio.sleep(0.02)
                viewer.begin_dtls(prints)
            for one in viewers:
                one.close()

    until_s = time.monotonic() + seconds
    await asyncio.gather(*(hold(address, until_s) for address in addresses(CROWD)))
    what = f"{counts['begun']} sessions begun, {counts['refused']} refused"
    return {"what": what, "wrong": dict(wrong) or ""}


class Deaf(LightViewer):
    """Hears no DTLS: its handshake stays where it is."""

    def _on_dtls(self, datagram: bytes) -> None:
        """Nothing."""


async def send_reports(udp: str, url: str, seconds: float) -> Facts:
    """Viewers that are let in, and send what they like."""
    certificate, noise = Certificate(), random.Random(7)
    viewers = [LightViewer(certificate, address) for address in addresses(LIARS)]
    junk = [b"\x80" + bytes((kind,)) + noise.randbytes(90) for kind in range(200, 208)]
    async with aiohttp.ClientSession() as session:
        for viewer in viewers:
            await viewer.watch(session, url)

    def one(number: int) -> None:
        viewer = viewers[number % LIARS]
        packet = junk[number % len(junk)]
        match number // LIARS % 4:
            case 0:
                viewer.send_rtcp(packet, is_protected=False)
            case 1:
                viewer.send_rtcp(packet[:4] + b"\xff" * 200)
            case 2:
                viewer.send_rtcp(nack_of_all(viewer.ssrc))
            case _:
                viewer.send_rtcp(packet[: max(8, number % 90)])

    count = await paced(REPORTS_PER_S, seconds, one)
    for viewer in viewers:
        viewer.close()
    return {"what": f"{count} reports", "wrong": ""}


def nack_of_all(ssrc: int) -> bytes:
    """Asks for 4,000 packets again (RFC 4585, 6.2.1)."""
    first = secrets.randbits(16)
    pairs = [((first + 17 * n) & 0xFFFF, 0xFFFF) for n in range(240)]
    body = struct.pack("!II", 1, ssrc) + b"".join(struct.pack("!HH", *pair) for pair in pairs)
    return struct.pack("!BBH", 0x81, 205, len(body) // 4) + body


ATTACKERS: Mapping[str, Callable[[str, str, float], Coroutine[Any, Any, Facts]]] = {
    "stun": send_datagrams,
    "offers": send_offers,
    "dtls": leave_handshakes,
    "rtcp": send_reports,
}


def main(arguments: Sequence[str]) -> None:
    if arguments[0] == "watch":
        asyncio.run(watch(arguments[1], int(arguments[2])))
        return
    name, udp, url, seconds = arguments
    facts = asyncio.run(ATTACKERS[name](udp, url, float(seconds)))
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps(facts | {"cpu_s": used.ru_utime + used.ru_stime}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

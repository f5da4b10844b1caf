"""Attacks on SRT: handshakes without end, callers who ask for nothing, broken transport streams.

Beside the players of every row there are some of a stream that ffmpeg publishes by SRT: their gaps
count as all others' do, and it stays connected.

    python -m tests.attacks.srt NAME HOST:PORT SECONDS     an attacker
"""

import asyncio
import contextlib
import json
import random
import resource
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from common.srt import installed as libsrt
from common.srt.library import Call, CallState, SrtLibrary
from tests.attacks.stage import EXEMPT_NOBODY, Result, Stage
from tests.attacks.webrtc import addresses, paced
from tests.faults.scene import CLIP, RENDITION, clip

ROOT: Final = Path(__file__).parents[2]
SECONDS: Final = 14.0
VICTIM: Final = "field"
PLAYERS: Final = 4  # of that stream
MEMORY_MIB: Final = 64  # that `srt` may take more
LISTEN: Final = 'srt = "127.0.0.1:0"'
HANDSHAKES_PER_S: Final = 5_000
ADDRESSES: Final = 50
CALLS_PER_S: Final = 25
LIARS: Final = 8  # publishers of what is no transport stream
MESSAGES_PER_S: Final = 2_000
Facts = dict[str, Any]

# ---- the rows -----------------------------------------------------------------------------------


def handshakes() -> Result:
    return _attacked(
        f"{HANDSHAKES_PER_S} handshakes of SRT a second from {ADDRESSES} addresses that go no "
        "further, with wrong cookies, or cut off",
        "handshakes",
    )


def callers() -> Result:
    return _attacked(
        f"{CALLS_PER_S} callers by SRT a second without a streamid, or with one of nobody",
        "callers",
    )


def streams() -> Result:
    return _attacked(
        f"{MESSAGES_PER_S} messages a second of broken transport streams from {LIARS} publishers "
        "by SRT",
        "streams",
    )


def _attacked(name: str, attack: str) -> Result:
    if not libsrt.is_there():
        raise RuntimeError(f"SRT is not installed: {libsrt.INSTALL_WORDS}")
    with Stage(name, more=EXEMPT_NOBODY, listen=LISTEN) as stage:
        farm = stage.scene.farm
        (address,) = farm.status()["listen"]["srt"]
        with publishes(clip(CLIP), address, VICTIM) as victim:
            farm.wait_stream(VICTIM, timeout=20)
            for _ in range(PLAYERS):
                stage.scene.load.play(farm.url(VICTIM, RENDITION), VICTIM, RENDITION)
            stage.scene.wait_for_pictures()
            stage.begin_anew()
            child = psutil.Process(farm.child("srt")["pid"])
            with stage.watched(SECONDS) as watched:
                memory = child.memory_info().rss
                command = [sys.executable, "-m", "tests.attacks.srt", attack, address, str(SECONDS)]
                out = subprocess.run(
                    command, stdout=subprocess.PIPE, text=True, cwd=ROOT, check=True
                )
                grown_mib = (child.memory_info().rss - memory) / 2**20
            stays = victim.poll() is None and farm.streams()[VICTIM]["is_live"]
        return judged(watched.result, "srt", json.loads(out.stdout), grown_mib, stays=stays)


def judged(result: Result, kind: str, facts: Facts, grown_mib: float, *, stays: bool) -> Result:
    """The verdict, with what became of the process and of its publisher."""
    result.attacker = f"{facts['what']}, {facts['cpu_s'] / SECONDS:.0%} of a core"
    result.limit += f", a publisher by {kind} stays, the process takes ≤ {MEMORY_MIB} MiB more"
    result.note += f", {kind} {grown_mib:+.0f} MiB" + ("" if stays else ", ITS PUBLISHER IS CUT")
    result.ok = result.ok and stays and grown_mib <= MEMORY_MIB and not facts["wrong"]
    if facts["wrong"]:
        result.note += f", wrong: {facts['wrong']}"
    return result


@contextlib.contextmanager
def publishes(source: Path, address: str, key: str) -> Iterator["subprocess.Popen[bytes]"]:
    """ffmpeg, which sends a clip again and again by SRT."""
    to = f"srt://{address}?streamid=publish:live/{key}"
    options = ["-v", "error", "-re", "-stream_loop", "-1", "-i", str(source), "-c", "copy"]
    process = subprocess.Popen(["ffmpeg", "-nostdin", *options, "-f", "mpegts", to])
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


# ---- a process of its own: the attacker ---------------------------------------------------------

_INDUCTION: Final = 1
_CONCLUSION: Final = 0xFFFFFFFF


def handshake(kind: int, number: int, *, version: int, cookie: int) -> bytes:
    """A handshake packet (draft-sharabayko-srt, 3.2.1)."""
    head = struct.pack("!IIII", 0x8000_0000, 0, number & 0xFFFF_FFFF, 0)
    of = (version, 0x4A17 if version == 5 else 2, number & 0x7FFF_FFFF, 1500, 8192, kind)
    ids = (number & 0x3FFF_FFFF | 1, cookie)
    return head + struct.pack("!IIIIII", *of) + struct.pack("!II", *ids) + bytes(16)


def packets_of_nobody(number: int, noise: random.Random) -> bytes:
    """One of those that lead to nothing."""
    first = handshake(_INDUCTION, number, version=4, cookie=0)
    wrong = handshake(_CONCLUSION, number, version=5, cookie=noise.getrandbits(32))
    long = struct.pack("!HH", 1, 0xFFFF)  # an extension that says it is 256 kB long
    choices = (
        first,
        wrong,
        wrong + long + noise.randbytes(40),
        wrong + struct.pack("!HH", 5, 128) + noise.randbytes(512),
        first[: number % 64],
        b"\x80" + noise.randbytes(63),
        noise.randbytes(1316),
    )
    return choices[number % len(choices)]


async def send_handshakes(host: str, port: int, seconds: float) -> Facts:
    noise, sockets = random.Random(3), []
    for address in addresses(ADDRESSES):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((address, 0))
        sock.setblocking(False)
        sockets.append(sock)

    def one(number: int) -> None:
        with contextlib.suppress(OSError):
            sockets[number % ADDRESSES].sendto(packets_of_nobody(number, noise), (host, port))

    count = await paced(HANDSHAKES_PER_S, seconds, one)
    for sock in sockets:
        sock.close()
    return {"what": f"{count} packets", "wrong": ""}


STREAMIDS: Final = ("", "hello", "publish:nobody/x", "#!::m=publish", "request:live/nothing/360p")


async def call_for_nothing(host: str, port: int, seconds: float) -> Facts:
    library, counts = SrtLibrary(), Counter[str]()
    wrong: Counter[str] = Counter()
    calls: list[tuple[int, str]] = []

    def look(sock: int, streamid: str) -> bool:
        """Whether a call is over; who is let in is refused right behind the handshake."""
        state = library.call_state(sock)
        if state is CallState.ENDED:
            counts["refused"] += 1
            library.close_socket(sock)
        return state is CallState.ENDED

    def one(number: int) -> None:
        calls[:] = [call for call in calls if not look(*call)]
        streamid = STREAMIDS[number % len(STREAMIDS)]
        with contextlib.suppress(OSError):
            calls.append((library.call((host, port), Call(streamid)), streamid))
            counts["calls"] += 1

    await paced(CALLS_PER_S, seconds, one)
    deadline_s = time.monotonic() + 5.0
    while calls and time.monotonic() < deadline_s:
        calls[:] = [call for call in calls if not look(*call)]
        await asyncio.sleep(0.1)
    for _, streamid in calls:
        if not streamid.startswith("request:live/"):  # that one waits for its stream
            wrong[f"{streamid!r} is let in"] += 1
    library.close()
    what = f"{counts['calls']} calls, {counts['refused']} refused"
    return {"what": what, "wrong": dict(wrong) or ""}


def broken_message(number: int, noise: random.Random) -> bytes:
    """Seven packets of a transport stream: right at their beginning, and wrong behind that."""
    found = []
    for index in range(7):
        body = noise.randbytes(184)
        match (number + index) % 6:
            case 0:  # a PAT, of a length that is none
                head, body = b"\x47\x40\x00\x10", b"\x00\x00\xbf\xff" + body[4:]
            case 1:  # a PAT that names a thousand programs
                head, body = b"\x47\x40\x00\x11", b"\x00\x00\xb3\xfd\x00\x01\xc1\x00\x00" + body[9:]
            case 2:  # a PES packet without end
                head, body = b"\x47\x41\x00\x10", b"\x00\x00\x01\xe0\x00\x00\x80\x80\x05" + body[9:]
            case 3:  # an adaptation field longer than the packet
                head = b"\x47\x01\x00\x30"
                body = b"\xff" + body[1:]
            case 4:
                head = b"\x47" + noise.randbytes(3)
            case _:
                head = noise.randbytes(4)
        found.append(head + body)
    return b"".join(found)


async def send_streams(host: str, port: int, seconds: float) -> Facts:
    library, noise, counts = SrtLibrary(), random.Random(4), Counter[str]()
    sockets: dict[int, int] = {}

    def one(number: int) -> None:
        liar = number % LIARS
        sock = sockets.get(liar)
        if sock is None or library.call_state(sock) is CallState.ENDED:
            if sock is not None:
                library.close_socket(sock)
            sockets[liar] = library.call((host, port), Call(f"publish:live/liar{liar}"))
            counts["calls"] += 1
        elif library.call_state(sock) is CallState.CONNECTED:
            with contextlib.suppress(OSError):
                counts["messages"] += library.send(sock, broken_message(number, noise))

    await paced(MESSAGES_PER_S, seconds, one)
    library.close()
    words = "" if counts["messages"] else "nobody was let in"
    return {"what": f"{counts['messages']} messages in {counts['calls']} calls", "wrong": words}


ATTACKERS: Mapping[str, Callable[[str, int, float], Coroutine[Any, Any, Facts]]] = {
    "handshakes": send_handshakes,
    "callers": call_for_nothing,
    "streams": send_streams,
}


def main(arguments: Sequence[str]) -> None:
    name, address, seconds = arguments
    host, _, port = address.rpartition(":")
    facts = asyncio.run(ATTACKERS[name](host, int(port), float(seconds)))
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps(facts | {"cpu_s": used.ru_utime + used.ru_stime}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Attacks on the RTMP port by peers that neither publish nor watch."""

import threading
import time
from collections.abc import Sequence
from ipaddress import ip_network

from common.access.signed_url import Direction, Grant, sign
from common.flv import amf0
from common.rtmp.chunks import encode_message
from common.rtmp.messages import MessageType, encode_command, set_chunk_size
from tests.attacks.sender import Plan
from tests.attacks.stage import (
    EXEMPT_NOBODY,
    FIN_WAIT_1,
    NEWCOMER_S,
    KernelSockets,
    Result,
    Stage,
    kernel_sockets,
)
from tests.faults.scene import RENDITION

HANDSHAKE = b"\x03" + bytes(1536) + bytes(1536)  # C0, C1 and a C2 that nobody verifies
CHUNK = 128
SECONDS = 14.0
NULLS = 4_000
MBIT = 1e6 / 8
STALL_TIMEOUT_S = 4
AFTER_S = 5.0
MAX_KERNEL_MIB = 10
MOST_ADDED_S = 0.1  # to the undisturbed gap, by publishers who are refused
MIB = 1 << 20


def addresses(count: int) -> Sequence[str]:
    return [f"127.0.1.{index + 1}" for index in range(count)]


def connect(app: str = "live") -> bytes:
    url = "rtmp://127.0.0.1/live"
    members: dict[str, amf0.Value] = {
        "app": app,
        "type": "nonprivate",
        "flashVer": "FMLE/3.0",
        "tcUrl": url,
    }
    return encode_command(3, 0, CHUNK, "connect", 1.0, members)


def publish(name: str) -> bytes:
    return encode_command(3, 0, CHUNK, "createStream", 2.0, None) + encode_command(
        4, 1, CHUNK, "publish", 0.0, None, name, "live"
    )


def play(name: str, chunk_size: int = CHUNK) -> bytes:
    return encode_command(3, 0, chunk_size, "createStream", 2.0, None) + encode_command(
        4, 1, chunk_size, "play", 0.0, None, name
    )


def many_nulls(chunk_size: int, name: str = "nothing") -> bytes:
    """A command that asks for no answer and has thousands of arguments."""
    body = amf0.encode(name, 0.0) + bytes((amf0.Marker.NULL,)) * NULLS
    return encode_message(3, MessageType.COMMAND, 0, 0, body, chunk_size)


def one_byte_chunks() -> bytes:
    """Set Chunk Size 1, then messages whose every byte is a chunk of its own."""
    return encode_message(4, MessageType.AUDIO, 0, 1, bytes(4_000), 1)


def _flood(name: str, first: bytes, then: bytes, mbit_per_s: float, count: int) -> Result:
    """Few connections of each address, up to 61 in all, that send without end."""
    with Stage(f"{name}, from {count} address{'es' if count > 1 else ''}") as stage:
        plan = Plan(
            port=stage.port,
            addresses=addresses(count),
            first=stage.file("first", first),
            then=stage.file("then", then),
            connections=61,
            connects_per_s=100,
            bytes_per_s=mbit_per_s * MBIT,
            seconds=SECONDS,
        )
        return stage.attack(plan)


def nulls(count: int) -> Result:
    first = HANDSHAKE + connect() + set_chunk_size(65536)
    name = f"commands of {NULLS} values before publishing, 100 Mbit/s"
    return _flood(name, first, many_nulls(65536) * 16, 100, count)


def known_command_nulls(count: int) -> Result:
    first = HANDSHAKE + connect() + set_chunk_size(65536)
    name = f"`releaseStream`, `pause`, `seek` with {NULLS} values, 100 Mbit/s"
    commands = b"".join(many_nulls(65536, c) for c in ("releaseStream", "pause", "seek"))
    return _flood(name, first, commands * 5, 100, count)


def chunk_size_one(count: int) -> Result:
    first = HANDSHAKE + set_chunk_size(1)
    return _flood(
        "chunk size 1 after the handshake, 100 Mbit/s", first, one_byte_chunks(), 100, count
    )


def play_flood(count: int) -> Result:
    """Players come with a quarter of a megabyte of commands behind their request."""
    name = "120 players a second with 240 KB of AMF0 behind their play"
    with Stage(f"{name}, from {count} address{'es' if count > 1 else ''}") as stage:
        first = HANDSHAKE + connect() + set_chunk_size(65536)
        first += play(f"cam0/{RENDITION}", 65536)
        plan = Plan(
            port=stage.port,
            addresses=addresses(count),
            first=stage.file("first", first),
            then=stage.file("then", many_nulls(65536) * 60),
            connections=400,
            connects_per_s=120,
            bytes_per_s=220 * MBIT,
            seconds=SECONDS,
            most_bytes=240_000,
            lasts_s=1.0,
        )
        return stage.attack(plan)


def forged_urls() -> Result:
    """Publishers whose URLs are signed by somebody else: the check, the words, the wait."""
    secret = "0123456789abcdef"
    more = f'''{EXEMPT_NOBODY}
[templates.guarded]
renditions = []
[templates.guarded.signing.keys]
k1 = "{secret}"
'''
    grant = Grant("k1", 2**31, ("720p", "source"), ip_network("127.0.0.0/8"), "abcdefgh")
    token = sign(secret[::-1], Direction.PUBLISH, "guarded", "cam1", grant)
    with Stage("200 publishers a second with forged URLs, from 50 addresses", more=more) as stage:
        first = HANDSHAKE + connect("guarded") + publish(f"cam1?token={token}")
        plan = Plan(
            port=stage.port,
            addresses=addresses(50),
            first=stage.file("first", first),
            then=stage.file("then", b""),
            connections=400,
            connects_per_s=200,
            bytes_per_s=20 * MBIT,
            seconds=SECONDS,
            most_bytes=0,
            lasts_s=1.5,
        )
        result = stage.attack(plan)
    result.limit = f"gap ≤ undisturbed + {MOST_ADDED_S:g} s, newcomers < {NEWCOMER_S:g} s"
    result.ok = result.ok and result.gap_s <= result.gap_before_s + MOST_ADDED_S
    return result


def stalled_players() -> Result:
    """Players whose windows stay closed: what the kernel holds for them goes with them."""
    peers = addresses(4)
    more = f'{EXEMPT_NOBODY}\n[egress]\nstall_timeout = "{STALL_TIMEOUT_S}s"\n'
    seconds, looks = 30.0, list[tuple[float, KernelSockets]]()
    with Stage("320 players that never read, and stay", more=more) as stage:
        plan = Plan(
            port=stage.port,
            addresses=peers,
            first=stage.file("first", HANDSHAKE + connect() + play("cam0/source")),
            then=stage.file("then", b""),
            connections=320,
            connects_per_s=80,
            bytes_per_s=10 * MBIT,
            seconds=seconds,
            most_bytes=0,
            reads=False,
            receive_buffer=4096,
        )
        look = threading.Thread(target=_look, args=(stage.port, looks, seconds + 7))
        look.start()
        result = stage.attack(plan)
        look.join()
    # The last has been stalled for as long as it may be by then; the first was full before.
    full_s, most = max(looks, key=lambda look: look[1].unsent_bytes)
    last = next((s for at, s in looks if at > full_s + STALL_TIMEOUT_S + AFTER_S), most)
    result.limit += f", ≤ {MAX_KERNEL_MIB} MiB in the kernel {AFTER_S:g} s after stall_timeout"
    result.note += (
        f", at most {most.unsent_bytes / MIB:.0f} MiB of {sum(most.by_state.values())} sockets; "
        f"then {last.unsent_bytes / MIB:.1f} MiB, {last.by_state.get(FIN_WAIT_1, 0)} in FIN-WAIT-1"
    )
    result.ok = result.ok and last.unsent_bytes <= MAX_KERNEL_MIB * MIB
    return result


def _look(port: int, looks: list[tuple[float, KernelSockets]], seconds: float) -> None:
    """What the kernel has of the attacker's sockets, twice a second."""
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        looks.append((time.monotonic(), kernel_sockets(port, ["127.0.1."])))
        time.sleep(0.5)

"""A worker that does its work, and on a thread beside it tries what it may not.

As a decoder's bug would have it, this begins when the sandbox is closed, with all that the process
has: what it was told, its links, its identity. `REBEL_STREAM` is a stream of another worker;
only the worker `REBEL_NAME` rebels. What it got from its attempts stands in its log, a line of
JSON each round.
"""

from common.process.signals import hold_signals

hold_signals()

import asyncio  # noqa: E402
import ctypes  # noqa: E402
import json  # noqa: E402
import logging  # noqa: E402
import os  # noqa: E402
import socket  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Iterator, Sequence  # noqa: E402
from contextlib import suppress  # noqa: E402
from functools import partial  # noqa: E402
from itertools import count, cycle  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import zmq  # noqa: E402

from common.config.ladder import Template  # noqa: E402
from common.ipc.batch import pack  # noqa: E402
from common.ipc.child import ChildProcess, ChildService, child_parser, run_child  # noqa: E402
from common.ipc.command_messages import Command  # noqa: E402
from common.ipc.control_link import CONTROL_SOCKET, control_address  # noqa: E402
from common.ipc.control_messages import (  # noqa: E402
    PublishEnd,
    StreamTrouble,
    StreamWanted,
    Welcome,
)
from common.ipc.envelope import decode_frames, encode  # noqa: E402
from common.ipc.identity import Generation, StreamId  # noqa: E402
from common.ipc.media_messages import (  # noqa: E402
    KEY,
    Acknowledgement,
    GenerationEnd,
    RenditionOpen,
    RenditionVideo,
    StreamClosed,
    StreamEnd,
    StreamOpen,
    TagHeader,
    Tags,
)
from common.process.standby import wait_for_order  # noqa: E402
from worker.__main__ import KIND, arguments_of, build  # noqa: E402
from worker.devices.software.decode import SoftDecoder, SoftPicture  # noqa: E402
from worker.devices.table import device_sandbox, prepare_device  # noqa: E402

log = logging.getLogger("tfarm.tests.rebel")

STREAM = StreamId(os.environ["REBEL_STREAM"])
NAME = os.environ["REBEL_NAME"]
CRASHES = os.environ.get("REBEL_CRASHES", "")  # a width of sources
FLOODS = int(os.environ.get("REBEL_FLOODS", "0"))  # connections to each egress
FLOODS_AFTER_S = 1.0
FLOOD = os.environ.get("REBEL_FLOOD", "")  # the number of one of `_floods`; "": all of them
GENERATIONS = [Generation(number) for number in range(1, 6)]
LISTEN_MS = 150  # for an answer to each attempt
ROUND_S = 0.3


class Rebel:
    """What a process tries, on a thread of its own, with all that the process was told."""

    def __init__(self, process: ChildProcess) -> None:
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._welcome: Welcome | None = None
        heard = process.on_message

        def on_message(message: Any, payloads: Sequence[bytes] = ()) -> None:
            if isinstance(message, Welcome):
                self._welcome = message
            heard(message, payloads)

        process.on_message = on_message  # type: ignore[method-assign]  # it listens in
        threading.Thread(target=self._flood if FLOODS else self._rebel, daemon=True).start()

    def _flood(self) -> None:
        """Send to each egress as much as it takes, on several connections."""
        time.sleep(FLOODS_AFTER_S)
        while not (paths := [p for p in _sockets(self._process.run_dir) if p.suffix == ".tags"]):
            time.sleep(ROUND_S)
        context = zmq.Context()
        links = [context.socket(zmq.DEALER) for _ in range(FLOODS * len(paths))]
        for link, path in zip(links, cycle(paths), strict=False):
            link.setsockopt(zmq.LINGER, 0)
            link.connect(f"ipc://{path}")
        kinds = _floods()[int(FLOOD) :][:1] if FLOOD else _floods()
        for number in count():
            with suppress(zmq.Again):
                for link in links:
                    link.send_multipart(kinds[number % len(kinds)], zmq.NOBLOCK)

    def _rebel(self) -> None:
        self._context = zmq.Context()
        while True:
            time.sleep(ROUND_S)
            if self._welcome is not None:
                log.warning("rebel %s", json.dumps(self._round(self._welcome)))

    def _round(self, welcome: Welcome) -> dict[str, Any]:
        """Try all of it once; what came of it."""
        run_dir = self._process.run_dir
        sockets = list(_sockets(run_dir))
        seen: dict[str, Any] = {
            "keys": [key for t in welcome.settings.templates for key in t.publish_keys],
            "told": [e.media or e.handover for e in welcome.endpoints if e.media or e.handover],
            "file": _attempt(lambda: (run_dir / "children.json").read_text()),
            "tcp": _attempt(lambda: socket.create_connection(("127.0.0.1", 1), 0.1)),
            "sockets": sorted(path.suffix for path in sockets),
            "tags": [],
            "media": [],
            "handover": [],
        }
        for path in sockets:
            if path.suffix == ".handover":
                seen["handover"].append(_attempt(partial(_hand_over, path)))
            elif path.suffix in (".tags", ".media"):
                seen[path.suffix[1:]] += self._say(f"ipc://{path}", _media())
        seen["command"] = self._say(control_address(run_dir), [(Command(1, "stop"),)])
        claims = [
            PublishEnd(STREAM, GENERATIONS[0], "the rebel says so"),
            StreamWanted(self._process.child, STREAM),
            *(StreamTrouble(self._process.child, STREAM, n, "a rebel") for n in GENERATIONS),
        ]
        for claim in claims:
            self._loop.call_soon_threadsafe(self._process.send, claim)
        _attempt(partial(_old_command, run_dir))
        return seen

    def _say(self, address: str, messages: Sequence[tuple[Any, ...]]) -> list[str]:
        """Send each message with its payloads; the kinds of the answers."""
        answers: list[str] = []
        with self._context.socket(zmq.DEALER) as peer:
            peer.setsockopt(zmq.LINGER, 0)
            peer.connect(address)
            for message, *payloads in messages:
                peer.send_multipart([encode(message), *payloads])
            while peer.poll(LISTEN_MS):
                answer, _ = decode_frames(peer.recv_multipart())
                if not isinstance(answer, Acknowledgement):
                    answers.append(type(answer).__name__)
        return answers


def _media() -> list[tuple[Any, ...]]:
    """What an ingest, or the stream's worker, would send."""
    found: list[tuple[Any, ...]] = [(StreamClosed(STREAM, Generation(9), "the rebel", 0),)]
    head = TagHeader(9, "h264", 10_000_000, 0, KEY, 0.0)
    for generation in GENERATIONS:
        for rendition in ("240p", "144p", "source", ""):
            video = RenditionVideo("h264", 2, 2)
            found += [
                (RenditionOpen(STREAM, generation, rendition, 0, video), b"rebel", b"rebel"),
                (Tags(STREAM, generation, rendition, 0, (head,)), b"rebel"),
            ]
        found += [
            (GenerationEnd(STREAM, generation, "the rebel"),),
            (StreamEnd(STREAM, generation, "the rebel"),),
        ]
    return [*found, (StreamOpen(STREAM, Generation(99), Template("live", ()), ()),)]


def _floods() -> list[list[bytes]]:
    """What costs whoever takes it most: many messages in one, large ones, many empty frames."""
    head = TagHeader(9, "h264", 10_000_000, 0, KEY, 0.0)
    own, other = StreamId("live/own"), STREAM
    video = RenditionVideo("h264", 2, 2)
    many = [
        [encode(RenditionOpen(own, generation, "240p", 0, video)), b"rebel", b"rebel"]
        for generation in GENERATIONS
    ] * 400
    tags = [[encode(Tags(one, GENERATIONS[0], "240p", 0, (head,) * 500))] for one in (own, other)]
    return [
        [*map(bytes, pack(many))],
        [*map(bytes, pack([[*frames, *([b"x"] * 500)] for frames in tags * 8]))],
        [encode(Tags(own, GENERATIONS[0], "240p", 0, (head,))), bytes(4 * 1024 * 1024)],
        [b""] * 60_000,
        [os.urandom(400_000)],
    ]


def _sockets(run_dir: Path) -> Iterator[Path]:
    """The files of all sockets in the run directory, which it need not be told."""
    found = set()  # connections have the name of who listens, too
    for line in Path(f"/proc/{os.getpid()}/net/unix").read_text().splitlines():
        path = Path(line.split()[-1])
        if path.parent == run_dir and path not in found:
            found.add(path)
            yield path


def _hand_over(path: Path) -> str:
    """Offer a connection to an egress, as ingest does; what it answers."""
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
        link.settimeout(2.0)
        link.connect(str(path))
        socket.send_fds(link, [b"TFH1\x00\x00\x00\x01x"], [theirs.fileno()])
        return link.recv(100).decode(errors="replace") or "closed"


def _old_command(run_dir: Path) -> None:
    """A command in ZMTP 1, where libzmq does not say who speaks."""
    stop = encode(Command(2, "stop"))
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(run_dir / CONTROL_SOCKET))
        peer.send(b"\x01\x00" + bytes((len(stop) + 1, 0)) + stop)
        time.sleep(0.1)


def _attempt(do: Callable[[], object]) -> str:
    try:
        return str(do())
    except Exception as error:
        return type(error).__name__


def crash_on(width: int, pictures: int) -> None:
    """Have the decoder of sources of this width take the process down, as a bug of its own would.

    That is after so many pictures.
    """
    decode = SoftDecoder.decode
    left = {width: pictures}

    def crashing(self: SoftDecoder, data: bytes, dts_ms: int, pts_ms: int) -> list[SoftPicture]:
        found = decode(self, data, dts_ms, pts_ms)
        for picture in found:
            left[picture.width] = left.get(picture.width, 0) - 1
            if picture.width == width and left[width] < 0:
                ctypes.string_at(0)
        return found

    SoftDecoder.decode = crashing  # type: ignore[method-assign]


def build_rebel(process: ChildProcess, arguments: Any) -> ChildService:
    if CRASHES:
        crash_on(int(CRASHES), 100)
    if str(process.child) == NAME:
        process.rebel = Rebel(process)  # type: ignore[attr-defined]  # as long as the process
    return build(process, arguments)


if __name__ == "__main__":
    wait_for_order(())
    arguments = arguments_of(child_parser(KIND, __doc__))
    prepare_device(arguments.device)
    run_child(KIND, arguments, build_rebel, confinement=device_sandbox(arguments.device))

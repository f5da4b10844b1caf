"""A child for supervision tests: says hello and beats, and misbehaves as its mode file says.

    python toy_child.py KIND --index N --run-dir DIR …

The file `toy-MODE-NAME` in the run directory (`toy-deaf-ingest-0`) is looked for: so a test changes
what the next incarnation does. Modes: `exit3` (a fatal reason and exit code 3), `fat` (takes
300 MiB), `deaf` (ignores SIGTERM), `stall` (stops beating after its hello), `nvenc` (its GPU
encodes; it is hybrid without), `busy` (stays when it is to retire). Each boot is appended to
`toy-boots`.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import zmq

from common.config.ladder import Pipeline
from common.ipc.bus import Bus
from common.ipc.command_messages import Command
from common.ipc.control_link import (
    CONTROL_SOCKET,
    ControlLink,
    control_address,
    new_boot_id,
    start_ticks,
)
from common.ipc.control_messages import (
    DeviceInfo,
    Endpoint,
    Fatal,
    Heartbeat,
    Hello,
    Positions,
    PublishEnd,
    PublishRequest,
    StreamWanted,
    Topology,
    Welcome,
)
from common.ipc.endpoint import UNIX, endpoint
from common.ipc.envelope import decode_frames, encode
from common.ipc.identity import ChildId, Generation, Role, StreamId
from common.ipc.kinds import KINDS
from common.ipc.media_listener import MediaListener
from common.ipc.succession_messages import Retire
from common.version import VERSION


class Toy:
    """What a child is to the control link."""

    def __init__(self, kind: str, options: dict[str, str]) -> None:
        self.kind = kind
        self.name = ChildId(
            kind,
            options.get("--device", ""),
            int(options["--index"]),
            Role(options.get("--role", "")),
        )
        self.run_dir = Path(options["--run-dir"])
        self.boot_id = new_boot_id()
        self.bus = Bus()
        self.listen = options.get("--listen", "")
        if self.listen.endswith(":0"):
            self.listen = f"{self.listen[:-1]}4711"
        self.pid = os.getpid()
        name = KINDS[kind].sockets[0]
        address = endpoint(self.run_dir, self.name, self.boot_id, name)
        self.listener = MediaListener(self.bus, address, lambda frames, sender: None)
        sockets: dict[str, Any] = {name: address}
        if "listeners" in KINDS[kind].sockets:
            where = endpoint(self.run_dir, self.name, self.boot_id, "listeners", UNIX)
            sockets["listeners"] = where
        self.is_retiring = False
        self.end: Callable[[], object] = lambda: None
        self.endpoint = Endpoint(self.name, self.boot_id, **sockets)
        with (self.run_dir / "toy-boots").open("a") as file:
            file.write(f"{self.name} {self.pid} {' '.join(sys.argv[1:])}\n")

    def is_mode(self, mode: str) -> bool:
        return (self.run_dir / f"toy-{mode}-{str(self.name).replace(':', '-')}").exists()

    def device(self) -> DeviceInfo:
        if self.name.is_software:
            return DeviceInfo("cpu:0", "software", "toy")
        path = Pipeline.GPU_ONLY if self.is_mode("nvenc") else Pipeline.HYBRID
        return DeviceInfo(os.environ["CUDA_VISIBLE_DEVICES"], "gpu", "toy", path, "0:65:00.0")

    def hello(self) -> Hello:
        return Hello(
            self.name,
            self.boot_id,
            self.pid,
            start_ticks(self.pid),
            self.endpoint,
            listen=(self.listen,) if self.listen else (),
            device=self.device() if self.kind == "worker" else None,
            version=VERSION,
            is_retiring=self.is_retiring,
        )

    def heartbeat(self) -> Heartbeat:
        return Heartbeat(self.name, self.boot_id)

    def on_message(self, message: Any, payloads: Sequence[bytes]) -> None:
        if isinstance(message, Retire):
            self.is_retiring = True
            if not self.is_mode("busy"):
                self.end()
        peers = len(message.endpoints) if isinstance(message, Welcome | Topology) else 0
        with (
            contextlib.suppress(FileNotFoundError),  # the run directory was removed
            (self.run_dir / f"toy-heard-{self.pid}").open("a") as file,
        ):
            file.write(f"{type(message).__name__} {peers}\n")

    def close(self) -> None:
        self.listener.close()
        self.bus.close()

    def on_orphaned(self) -> None:
        sys.exit(5)


def rebel(toy: Toy) -> None:
    """Say what only others may say: a command of an operator's, the hello of an ingest."""
    boot_id = new_boot_id()
    ingest = ChildId("ingest")
    hello = Hello(ingest, boot_id, toy.pid, start_ticks(toy.pid), Endpoint(ingest, boot_id))
    with zmq.Context() as context:
        for name, message in (
            ("cli/rebel", Command(1, "stop")),
            (f"{ingest}/{boot_id}/rebel", hello),
            (f"{ingest}/{boot_id}/rebel", Fatal(ingest, boot_id, "nothing works", 3)),
        ):
            with context.socket(zmq.DEALER) as peer:
                peer.setsockopt(zmq.LINGER, 0)
                peer.setsockopt(zmq.IDENTITY, name.encode())
                peer.connect(control_address(toy.run_dir))
                peer.send(encode(message))
                if peer.poll(5000 if isinstance(message, Command) else 200):
                    answer, _ = decode_frames(peer.recv_multipart())
                    with (toy.run_dir / "toy-answers").open("a") as file:
                        file.write(f"{answer}\n")
        again = replace(toy.hello(), boot_id=boot_id)
        with context.socket(zmq.DEALER) as peer:
            peer.setsockopt(zmq.LINGER, 0)
            peer.setsockopt(zmq.IDENTITY, f"{toy.name}/{boot_id}/rebel".encode())
            peer.connect(control_address(toy.run_dir))
            peer.send(encode(again))
            peer.poll(200)
    stop = encode(Command(2, "stop"))
    with socket.socket(socket.AF_UNIX) as peer:  # ZMTP 1
        peer.connect(str(toy.run_dir / CONTROL_SOCKET))
        peer.send(b"\x01\x00" + bytes((len(stop) + 1, 0)) + stop)
        time.sleep(0.2)


def claims() -> list[object]:
    """What other kinds say."""
    stream, generation = StreamId("live/cam"), Generation(1)
    return [
        PublishRequest(1, stream, "192.0.2.1"),
        PublishEnd(stream, generation, "so it is told"),
        Positions(1, stream, 1000),
        StreamWanted(ChildId("worker", "cpu"), stream),
    ]


async def main() -> int:
    toy = Toy(sys.argv[1], dict(zip(sys.argv[2::2], sys.argv[3::2], strict=True)))
    ended = asyncio.Event()
    toy.end = ended.set
    asyncio.get_running_loop().add_signal_handler(
        signal.SIGTERM, (lambda: None) if toy.is_mode("deaf") else ended.set
    )
    timeout = float(dict(zip(sys.argv[2::2], sys.argv[3::2], strict=True))["--orphan-timeout"])
    link = ControlLink(toy.bus, toy.run_dir, toy.name, toy.boot_id, toy, orphan_timeout_s=timeout)
    if toy.is_mode("exit3"):
        link.fatal("the toy has no device", 3)
        await asyncio.sleep(0.2)  # the message must leave before the process does
        return 3
    task = asyncio.create_task(link.run())
    if toy.is_mode("rebel"):
        await asyncio.to_thread(rebel, toy)
        for claim in claims():
            link.send(claim)
    ballast = b"\1" * (300 << 20) if toy.is_mode("fat") else b""
    if toy.is_mode("stall"):
        await asyncio.sleep(0.3)
        task.cancel()
    await ended.wait()
    task.cancel()
    toy.close()
    del ballast
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(asyncio.run(main()))

"""common/ipc/control_link.py: hello, beats, a new supervisor, and no supervisor."""

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from common.config.settings import Settings
from common.ipc.bus import Bus, Receiver
from common.ipc.control_link import (
    LAST_WORDS_MS,
    ControlLink,
    control_address,
    new_boot_id,
    start_ticks,
)
from common.ipc.control_messages import (
    Configure,
    Endpoint,
    Fatal,
    Heartbeat,
    Hello,
    SupervisorBeat,
    Welcome,
)
from common.ipc.envelope import decode, encode
from common.ipc.identity import BootId
from tests.kit.children import EGRESS0

CHILD = EGRESS0
BOOT = new_boot_id()


class State:
    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.orphaned = asyncio.Event()

    def hello(self) -> Hello:
        return Hello(CHILD, BOOT, os.getpid(), 1, Endpoint(CHILD, BOOT))

    def heartbeat(self) -> Heartbeat:
        return Heartbeat(CHILD, BOOT)

    def on_message(self, message: Any, payloads: Sequence[bytes]) -> None:
        self.messages.append(message)

    def on_orphaned(self) -> None:
        self.orphaned.set()


class Supervisor:
    def __init__(self, bus: Bus, run_dir: Path) -> None:
        self.got: list[Any] = []
        self.peer = b""
        self._router: Receiver = bus.router(control_address(run_dir), self._on_frames)

    def _on_frames(self, frames: list[bytes]) -> None:
        self.peer = frames[0]
        self.got.append(decode(frames[1]))

    def say(self, message: object) -> None:
        assert self._router.send([self.peer, encode(message)])

    async def until_got(self, kind: type) -> Any:
        while not any(isinstance(message, kind) for message in self.got):
            await asyncio.sleep(0.002)
        found = next(message for message in self.got if isinstance(message, kind))
        self.got.clear()
        return found


def test_hello_is_said_until_welcomed_and_again_to_another_supervisor(tmp_path: Path) -> None:
    async def scenario() -> None:
        bus = Bus()
        supervisor, state = Supervisor(bus, tmp_path), State()
        link = ControlLink(bus, tmp_path, CHILD, BOOT, state)
        task = asyncio.create_task(link.run())
        try:
            async with asyncio.timeout(10):
                hello = await supervisor.until_got(Hello)
                assert hello == state.hello()
                supervisor.say(Welcome(BootId("one"), Settings(), ()))
                await supervisor.until_got(Heartbeat)
                supervisor.say(SupervisorBeat(BootId("one")))
                supervisor.say(Configure(Settings(log_level="DEBUG")))
                supervisor.say(SupervisorBeat(BootId("two")))
                await supervisor.until_got(Hello)
                link.fatal("no device", 3)
                assert (await supervisor.until_got(Fatal)).reason == "no device"
            assert [type(message) for message in state.messages] == [Welcome, Configure]
        finally:
            task.cancel()
            bus.close()

    asyncio.run(scenario())


def test_a_child_without_a_supervisor_is_told_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        bus, state, now = Bus(), State(), [0.0]
        link = ControlLink(
            bus, tmp_path, CHILD, BOOT, state, orphan_timeout_s=30, clock=lambda: now[0]
        )
        task = asyncio.create_task(link.run())
        try:
            async with asyncio.timeout(10):
                now[0] = 29.0
                await asyncio.sleep(0.05)
                assert not state.orphaned.is_set()
                now[0] = 31.0
                await state.orphaned.wait()
                await task
        finally:
            task.cancel()
            bus.close()

    asyncio.run(scenario())


def test_garbage_on_the_control_socket_is_counted_and_dropped(tmp_path: Path) -> None:
    async def scenario() -> None:
        bus = Bus()
        supervisor, state = Supervisor(bus, tmp_path), State()
        link = ControlLink(bus, tmp_path, CHILD, BOOT, state)
        task = asyncio.create_task(link.run())
        try:
            async with asyncio.timeout(10):
                await supervisor.until_got(Hello)
                supervisor._router.send([supervisor.peer, b"\xff\xff"])
                supervisor.say(Configure(Settings()))
                while not state.messages:
                    await asyncio.sleep(0.002)
            assert link.unreadable == 1
        finally:
            task.cancel()
            bus.close()

    asyncio.run(scenario())


def test_start_ticks_tell_a_process_from_its_successor() -> None:
    assert start_ticks(os.getpid()) > 0
    assert start_ticks(2**22 + 1) == 0


def test_a_child_with_nothing_to_do_beats_once_a_second(tmp_path: Path) -> None:
    async def scenario() -> None:
        bus = Bus()
        supervisor, state, idle = Supervisor(bus, tmp_path), State(), [True]
        link = ControlLink(
            bus, tmp_path, CHILD, BOOT, state, heartbeat_s=0.05, is_idle=lambda: idle[0]
        )
        task = asyncio.create_task(link.run())
        try:
            async with asyncio.timeout(10):
                await supervisor.until_got(Hello)
                supervisor.say(Welcome(BootId("one"), Settings(), ()))
                began = asyncio.get_running_loop().time()
                await supervisor.until_got(Heartbeat)
                assert asyncio.get_running_loop().time() - began > 0.5
                idle[0] = False
                await supervisor.until_got(Heartbeat)  # the last of those that come seldom
                began = asyncio.get_running_loop().time()
                for _ in range(3):
                    await supervisor.until_got(Heartbeat)
                assert asyncio.get_running_loop().time() - began < 0.8
        finally:
            task.cancel()
            bus.close()

    asyncio.run(scenario())


def test_a_child_with_nothing_to_do_answers_the_supervisors_beat(tmp_path: Path) -> None:
    """Both wake up once for the two; a busy one has a clock of its own."""

    async def scenario() -> None:
        bus = Bus()
        supervisor, state, idle, now = Supervisor(bus, tmp_path), State(), [True], [0.0]
        link = ControlLink(
            bus,
            tmp_path,
            CHILD,
            BOOT,
            state,
            heartbeat_s=30.0,  # none comes by itself within the test, but the first
            is_idle=lambda: idle[0],
            clock=lambda: now[0],
        )
        task = asyncio.create_task(link.run())

        async def beats_answered(count: int, step_s: float) -> int:
            supervisor.got.clear()
            for _ in range(count):
                now[0] += step_s
                supervisor.say(SupervisorBeat(BootId("one")))
                await asyncio.sleep(0.02)
            return sum(isinstance(message, Heartbeat) for message in supervisor.got)

        try:
            async with asyncio.timeout(10):
                await supervisor.until_got(Hello)
                idle[0] = False
                supervisor.say(Welcome(BootId("one"), Settings(), ()))
                await supervisor.until_got(Heartbeat)  # a second behind the hello
                assert await beats_answered(5, 1.0) == 0
                idle[0] = True
                assert await beats_answered(5, 1.0) == 5
                assert await beats_answered(4, 0.3) == 2  # one that has just been sent is enough
        finally:
            task.cancel()
            bus.close()

    asyncio.run(scenario())


def test_a_child_whose_beat_fails_ends(tmp_path: Path) -> None:
    """Whether it was its clock or the supervisor that asked for it."""

    class Broken(State):
        def heartbeat(self) -> Heartbeat:
            raise RuntimeError("broken")

    async def scenario() -> None:
        bus = Bus()
        supervisor, now = Supervisor(bus, tmp_path), [0.0]
        link = ControlLink(
            bus, tmp_path, CHILD, BOOT, Broken(), is_idle=lambda: True, clock=lambda: now[0]
        )
        task = asyncio.create_task(link.run())
        try:
            async with asyncio.timeout(10):
                await supervisor.until_got(Hello)
                supervisor.say(Welcome(BootId("one"), Settings(), ()))
                now[0] = 1.0
                supervisor.say(SupervisorBeat(BootId("one")))
                with pytest.raises(RuntimeError, match="broken"):
                    await task
        finally:
            bus.close()

    asyncio.run(scenario())


def test_what_a_child_says_last_arrives_though_it_ends_at_once(tmp_path: Path) -> None:
    """A stream's closing line lacked its reason: ingest's last message went with the socket."""

    async def scenario() -> None:
        there, here = Bus(), Bus()
        supervisor = Supervisor(there, tmp_path)
        link = ControlLink(here, tmp_path, CHILD, BOOT, State())
        task = asyncio.create_task(link.run())
        async with asyncio.timeout(20):
            await supervisor.until_got(Hello)
            supervisor.say(Welcome(BootId("one"), Settings(), ()))
            while not link.is_welcome:
                await asyncio.sleep(0.002)
            task.cancel()
            words = ["x" * 10_000 + str(number) for number in range(1000)]
            for reason in words:
                assert link.send(Fatal(CHILD, BOOT, reason, 0))
            link.close()
            here.close()
            while len(supervisor.got) < len(words):
                await asyncio.sleep(0.002)
        assert [message.reason for message in supervisor.got] == words
        there.close()

    asyncio.run(scenario())


def test_without_a_supervisor_an_end_waits_for_nobody(tmp_path: Path) -> None:
    async def scenario() -> None:
        bus = Bus()
        link = ControlLink(bus, tmp_path, CHILD, BOOT, State())
        link.fatal("nobody hears it", 3)
        began_s = time.monotonic()
        link.close()
        bus.close()
        assert time.monotonic() - began_s < LAST_WORDS_MS / 2000

    asyncio.run(scenario())

"""A worker's encoder processes: real links to processes that are none."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from common.codecs.h264 import AvcConfig, parse_sps
from common.config.ladder import RenditionFormat
from common.ipc.bus import Bus
from common.ipc.control_messages import Endpoint
from common.ipc.encoder_messages import (
    EncodedPicture,
    EncoderClose,
    EncoderDone,
    EncoderLost,
    EncoderOpen,
    EncoderPictures,
    EncoderRest,
)
from common.ipc.envelope import decode_frames, encode
from common.ipc.identity import BootId, ChildId, Generation, StreamId, gpu_worker
from common.ipc.media_listener import MediaListener, Sender
from tests.kit.h264_bits import PLAIN_PPS, PLAIN_SPS
from worker.devices.source import Source
from worker.encoders import processes
from worker.encoders.encoded_stream import HandedOver
from worker.encoders.processes import EncoderProcesses
from worker.pool.layout import lay_out
from worker.pool.memory import PicturePool
from worker.pool.passing import PoolListener
from worker.quality.ssim import Likeness
from worker.session.events import EncodingWanted, PicturesScaled

KEY = (StreamId("live/a"), Generation(1))
OTHER = (StreamId("live/b"), Generation(2))
FORMAT = RenditionFormat("360p", 640, 360, 0, 0, 640, 360, None, 700_000, 1000, 2000, "main", "p3")


class FakeProcess:
    """An encoder process that does what a test says."""

    def __init__(self, bus: Bus, folder: Path, index: int, boot: int = 0) -> None:
        child, boot_id = ChildId("encoder", index=index), BootId(f"{index}{boot}".rjust(16, "0"))
        name = folder / f"{index}-{boot}"
        self.endpoint = Endpoint(
            child, boot_id, pictures=f"ipc://{name}.pictures", pools=f"unix://{name}.pools"
        )
        self.messages: list[Any] = []
        self.memory: list[bool] = []  # whether it was there, by opening
        self.workers_lost: list[set[str]] = []
        self.senders: list[Sender] = []
        self._pools = PoolListener(
            self.endpoint.pools, lambda _, names: self.workers_lost.append(names)
        )
        self._pools.follow([Endpoint(gpu_worker("GPU-1"), BootId("w"), pid=os.getpid())])
        self._listener = MediaListener(bus, self.endpoint.pictures, self._take)

    def _take(self, frames: list[bytes], sender: Sender) -> None:
        message, _ = decode_frames(frames)
        self.senders.append(sender)
        self.messages.append(message)
        if isinstance(message, EncoderOpen):
            fd = self._pools.take(sender.pid, message.pool)
            self.memory.append(fd is not None)
            if fd is not None:
                os.close(fd)

    def of(self, kind: type) -> list[Any]:
        return [message for message in self.messages if isinstance(message, kind)]

    def answer(self, message: object) -> None:
        assert self.senders[-1].answer([encode(message)])

    def end(self) -> None:
        self._listener.close()
        self._pools.close()


class FakeSession:
    """What a session hears."""

    def __init__(self) -> None:
        self.done: list[tuple[int, EncodedPicture | None]] = []
        self.lost: list[tuple[int, int, str]] = []
        self.measured: list[tuple[int, Likeness]] = []
        self.changed = 0
        self.given_up = ""

    def on_picture_done(self, rendition: int, done: EncodedPicture | None) -> None:
        self.done.append((rendition, done))

    def on_rendition_lost(self, rendition: int, pts_ms: int, reason: str) -> None:
        self.lost.append((rendition, pts_ms, reason))

    @property
    def quality(self) -> Self:
        return self

    def on_measured(self, rendition: int, likeness: Likeness) -> None:
        self.measured.append((rendition, likeness))

    def on_encoder_changed(self) -> None:
        self.changed += 1

    def on_no_encoder(self, reason: str) -> None:
        self.given_up = reason


class Rig:
    def __init__(self, folder: Path) -> None:
        self.bus = Bus()
        self.folder = folder
        self.processes = EncoderProcesses(self.bus, gpu_worker("GPU-1"))
        self.fakes: list[FakeProcess] = []

    def start(self, *indices: int, boot: int = 0) -> None:
        self.fakes += [FakeProcess(self.bus, self.folder, index, boot) for index in indices]
        self.processes.update([fake.endpoint for fake in self.fakes])

    def end(self, fake: FakeProcess, *, is_announced: bool = True) -> None:
        self.fakes.remove(fake)
        fake.end()
        if is_announced:
            self.processes.update([one.endpoint for one in self.fakes])

    def open(self, key: Any = KEY) -> FakeSession:
        session = FakeSession()
        pool = PicturePool(str(key), lay_out([(640, 360)]))
        config = AvcConfig.from_parameter_sets([PLAIN_SPS], [PLAIN_PPS])
        source = Source(config.encode(), config, parse_sps(PLAIN_SPS))
        wanted = EncodingWanted(pool, source, (FORMAT,), (Fraction(30),), 1000)
        self.processes.open(key, wanted, session)
        return session

    def put(self, number: int, *, is_key: bool = False, key: Any = KEY) -> None:
        picture = HandedOver(0, number % 8, object(), b"sei", None, False)
        self.processes.hand_over(
            key, PicturesScaled(33 * number, is_key, False, 1.0, 2.0, (picture,))
        )

    def close(self) -> None:
        self.processes.close()
        for fake in self.fakes:
            fake.end()
        self.bus.close()


async def until(is_so: Callable[[], object]) -> None:
    for _ in range(1000):
        if is_so():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it does not come")


def run(test: Callable[[Rig], Awaitable[None]]) -> None:
    async def main() -> None:
        with TemporaryDirectory(prefix="tf-", dir="/tmp") as name:
            rig = Rig(Path(name))
            try:
                await test(rig)
            finally:
                rig.close()

    asyncio.run(main())


def done_of(message: EncoderPictures, size: int = 1000) -> EncoderDone:
    pictures = tuple(
        EncodedPicture(one.rendition, one.slot, message.pts_ms, size) for one in message.pictures
    )
    return EncoderDone(message.stream_id, message.generation, message.opening, pictures)


def test_each_process_that_has_a_stream_is_told_what_rests() -> None:
    async def test(rig: Rig) -> None:
        rig.start(0)
        rig.open()
        rig.processes.rest(OTHER, 0)  # nobody's
        rig.processes.rest(KEY, 0)
        (first,) = rig.fakes
        await until(lambda: first.of(EncoderRest))
        assert first.of(EncoderRest) == [EncoderRest(*KEY, 1, 0)]
        rig.start(1)
        await until(lambda: len(rig.processes._loads()) == 2)
        rig.end(first)
        (second,) = rig.fakes
        await until(lambda: second.of(EncoderRest))
        (opened,) = second.of(EncoderOpen)
        assert second.of(EncoderRest) == [EncoderRest(*KEY, opened.opening, 0)]
        rig.put(1, is_key=True)  # it is wanted again
        rig.start(2)
        await until(lambda: len(rig.processes._loads()) == 2)
        rig.end(second)
        (third,) = rig.fakes
        await until(lambda: third.of(EncoderOpen))
        rig.put(2, is_key=True)
        await until(lambda: third.of(EncoderPictures))
        assert not third.of(EncoderRest)

    run(test)


def test_a_stream_is_opened_with_its_memory_and_its_pictures_come_back() -> None:
    async def test(rig: Rig) -> None:
        rig.start(0)
        session = rig.open()
        assert session.changed == 1
        rig.put(0)  # no keyframe: dropped
        assert session.done == [(0, None)]
        for number in (1, 2):
            rig.put(number, is_key=number == 1)
        (fake,) = rig.fakes
        await until(lambda: len(fake.of(EncoderPictures)) == 2)
        assert fake.memory == [True]
        (opened,) = fake.of(EncoderOpen)
        assert (opened.opening, opened.renditions[0].first_number) == (1, 0)
        for message in fake.of(EncoderPictures):
            fake.answer(done_of(message))
        fake.answer(EncoderLost(*KEY, 1, 0, 66, "no reason"))
        fake.answer(EncoderLost(*KEY, 7, 0, 66, "of another opening"))
        fake.answer(EncoderLost(*KEY, 1, 9, 66, "of no rendition"))
        await until(lambda: session.lost)
        assert [done.pts_ms for _, done in session.done if done is not None] == [33, 66]
        await asyncio.sleep(0.05)
        assert session.lost == [(0, 66, "no reason")]
        assert rig.processes.end(KEY, "over")
        await until(lambda: fake.of(EncoderClose))
        (closed,) = fake.of(EncoderClose)
        assert (closed.reason, closed.is_end) == ("over", True)
        assert not rig.processes.end(KEY, "over"), "there is none any more"

    run(test)


def test_a_process_that_is_gone_gives_its_places_back_and_another_goes_on_with_a_keyframe() -> None:
    async def test(rig: Rig) -> None:
        rig.start(0, 1)
        session = rig.open()
        for number in range(3):
            rig.put(number, is_key=number == 0)
        await until(lambda: any(len(fake.of(EncoderPictures)) == 3 for fake in rig.fakes))
        busy = next(fake for fake in rig.fakes if fake.messages)
        # its link breaks before anybody says that it is gone
        rig.end(busy, is_announced=False)
        await until(lambda: session.changed == 2)
        assert session.done == [(0, None)] * 3
        rig.put(3)
        assert session.done == [(0, None)] * 4, "the new one begins with a keyframe"
        rig.put(4, is_key=True)
        (other,) = rig.fakes
        await until(lambda: other.of(EncoderPictures))
        (opened,) = other.of(EncoderOpen)
        assert other.memory == [True]
        assert opened.renditions[0].first_number == 3, "all that the first may have sent"
        rig.processes.update([other.endpoint])
        await asyncio.sleep(0.05)
        assert session.changed == 2

    run(test)


def test_without_a_process_a_stream_waits_for_one_and_is_given_up_after_some_time() -> None:
    async def test(rig: Rig) -> None:
        first, second = rig.open(), rig.open(OTHER)
        rig.put(0, is_key=True)
        assert first.done == [(0, None)]
        now_s = asyncio.get_running_loop().time()
        rig.processes.watch(now_s + processes.NO_PROCESS_S - 1)
        assert not first.given_up
        assert rig.processes.end(OTHER, "over") is False
        rig.start(0)
        assert (first.changed, second.changed) == (1, 0)
        rig.put(1, is_key=True)
        (fake,) = rig.fakes
        await until(lambda: fake.of(EncoderPictures))
        rig.end(fake)
        rig.processes.watch(asyncio.get_running_loop().time() + processes.NO_PROCESS_S + 1)
        assert "no encoder process" in first.given_up
        rig.put(2, is_key=True)  # the session is about to end

    run(test)


def test_streams_spread_and_one_that_comes_takes_its_part_at_a_keyframe_without_a_loss() -> None:
    async def test(rig: Rig) -> None:
        rig.start(0)
        keys = [(StreamId(f"live/{number}"), Generation(number)) for number in range(4)]
        sessions = [rig.open(key) for key in keys]
        (old,) = rig.fakes
        for key in keys:
            rig.put(0, is_key=True, key=key)
        await until(lambda: len(old.of(EncoderPictures)) == 4)
        rig.start(1)
        new = rig.fakes[1]
        for key in keys:
            rig.put(1, is_key=True, key=key)  # a picture is still out: nothing moves
        await until(lambda: len(old.of(EncoderPictures)) == 8)
        for message in old.of(EncoderPictures):
            old.answer(done_of(message))
        await until(lambda: all(len(session.done) == 2 for session in sessions))
        for key in keys:
            rig.put(2, key=key)
            await asyncio.sleep(0.02)
        assert not new.messages, "only with a keyframe"
        for message in old.of(EncoderPictures)[8:]:
            old.answer(done_of(message))
        await until(lambda: all(len(session.done) == 3 for session in sessions))
        for key in keys:
            rig.put(3, is_key=True, key=key)
        await until(lambda: len(new.of(EncoderPictures)) == 2)
        assert [message.pts_ms for message in new.of(EncoderPictures)] == [99, 99]
        assert [one.renditions[0].first_number for one in new.of(EncoderOpen)] == [3, 3]
        closed = old.of(EncoderClose)
        assert [message.is_end for message in closed] == [False, False]
        assert all(session.changed == 1 for session in sessions), "no keyframe out of turn"
        assert all(done is not None for session in sessions for _, done in session.done)

    run(test)


def test_a_worker_that_closes_ends_its_connections() -> None:
    async def test(rig: Rig) -> None:
        rig.start(0)
        rig.open()
        rig.put(0, is_key=True)
        (fake,) = rig.fakes
        await until(lambda: fake.memory)
        rig.processes.close()
        await until(lambda: fake.workers_lost)
        assert fake.workers_lost == [{str(KEY)}]

    run(test)

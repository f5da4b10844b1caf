"""The encoder process's service, with a worker's end of the links in the same loop."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import pytest

from common.codecs.h264 import AvcConfig, parse_sps
from common.config.ladder import RenditionFormat
from common.errors import ExitCode
from common.ipc.child import ChildProcess
from common.ipc.control_messages import Endpoint
from common.ipc.egresses import Egresses
from common.ipc.encoder_messages import (
    EncodedPicture,
    EncodedRendition,
    EncoderClose,
    EncoderDone,
    EncoderLost,
    EncoderOpen,
    EncoderPictures,
    ScaledPicture,
)
from common.ipc.envelope import decode_frames, encode
from common.ipc.identity import BootId, ChildId, Generation, StreamId, gpu_worker
from common.ipc.kinds import KINDS
from tests.kit.h264_bits import PLAIN_PPS, PLAIN_SPS
from worker.devices.source import Source
from worker.encoder.run import EncoderService
from worker.encoders.encoded_stream import HandedOver
from worker.encoders.processes import EncoderProcesses
from worker.pool.layout import lay_out
from worker.pool.memory import PicturePool
from worker.pool.passing import PoolSender
from worker.quality.ssim import Likeness
from worker.session.events import EncodingWanted, PicturesScaled

KEY = (StreamId("live/a"), Generation(1))
FORMAT = RenditionFormat("90p", 160, 90, 0, 0, 160, 90, None, 100_000, 1000, 2000, "main", "p1")
SMALL = RenditionFormat("72p", 128, 72, 0, 0, 128, 72, None, 100_000, 1000, 2000, "main", "p1")


class Session:
    """What a worker's session hears."""

    def __init__(self) -> None:
        self.done: list[EncodedPicture | None] = []
        self.lost: list[str] = []
        self.measured: list[Likeness] = []

    def on_picture_done(self, rendition: int, done: EncodedPicture | None) -> None:
        self.done.append(done)

    def on_rendition_lost(self, rendition: int, pts_ms: int, reason: str) -> None:
        self.lost.append(reason)

    @property
    def quality(self) -> Self:
        return self

    def on_measured(self, rendition: int, likeness: Likeness) -> None:
        self.measured.append(likeness)

    def on_encoder_changed(self) -> None: ...

    def on_no_encoder(self, reason: str) -> None: ...


class Sink:
    """A sender who keeps the answers."""

    child = gpu_worker("GPU-1")

    def __init__(self, pid: int = os.getpid()) -> None:
        self.pid = pid
        self.answers: list[Sequence[bytes]] = []

    def answer(self, frames: Sequence[bytes]) -> bool:
        self.answers.append(frames)
        return True


class Rig:
    def __init__(self, run_dir: Path) -> None:
        self.process = ChildProcess(KINDS["encoder"], ChildId("encoder"), run_dir)
        self.service = EncoderService(self.process, 1, 2)
        worker = gpu_worker("GPU-1")
        known = Endpoint(worker, BootId("0" * 16), pid=os.getpid())
        self.service.on_topology([known])
        self.service._listener.follow([known])
        self.processes = EncoderProcesses(self.process.bus, worker)
        self.processes.update([self.service.hello().endpoint])
        self.pool = PicturePool("a", lay_out([(160, 90)]))
        self.session = Session()
        self.renditions: Sequence[RenditionFormat] = (FORMAT,)

    def open(self, *renditions: RenditionFormat) -> None:
        """Open a stream of these renditions, if it is not of one alone."""
        if renditions:
            self.renditions = renditions
            self.pool = PicturePool("b", lay_out([(one.width, one.height) for one in renditions]))
        config = AvcConfig.from_parameter_sets([PLAIN_SPS], [PLAIN_PPS])
        source = Source(config.encode(), config, parse_sps(PLAIN_SPS))
        fps = (Fraction(30),) * len(self.renditions)
        wanted = EncodingWanted(self.pool, source, tuple(self.renditions), fps, 1000)
        self.processes.open(KEY, wanted, self.session)

    def put(self, number: int, *, is_key: bool = False) -> None:
        pictures = []
        for index in range(len(self.renditions)):
            self.pool.picture(index, number % 8)[0][:] = 16 + number
            pictures.append(HandedOver(index, number % 8, object(), b"", None, False))
        now_s = asyncio.get_running_loop().time()
        is_key |= number == 0
        scaled = PicturesScaled(33 * number, is_key, False, now_s, now_s, tuple(pictures))
        self.processes.hand_over(KEY, scaled)

    @property
    def streams(self) -> int:
        return self.service.heartbeat().counters["streams"]

    async def close(self) -> None:
        self.processes.close()
        self.process.stop()
        await self.process.run(lambda _: self.service)


def run(test: Callable[[Rig], Awaitable[None]]) -> None:
    async def main() -> None:
        with TemporaryDirectory(prefix="tf-", dir="/tmp") as name:
            rig = Rig(Path(name))
            try:
                await test(rig)
            finally:
                await rig.close()

    asyncio.run(main())


async def until(is_so: Callable[[], object]) -> None:
    for _ in range(2000):
        if is_so():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it does not come")


def test_pictures_are_encoded_and_their_places_come_back_with_the_tags_sizes() -> None:
    async def test(rig: Rig) -> None:
        rig.open()
        for number in range(6):
            rig.put(number)
        await until(lambda: len(rig.session.done) == 6)
        done = [one for one in rig.session.done if one is not None]
        assert [one.pts_ms for one in done] == [33 * number for number in range(6)]
        assert all(one.size > 0 and one.encode_s > 0 for one in done)
        assert rig.streams == 1
        assert rig.processes.end(KEY, "over")
        await until(lambda: rig.streams == 0)

    run(test)


def test_egress_hears_what_a_rendition_that_rests_is_and_when_it_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[Any] = []

    def send(self: Egresses, rendition: Any, frames: Sequence[bytes]) -> None:
        sent.append(decode_frames(list(frames))[0])

    monkeypatch.setattr(Egresses, "send", send)

    async def test(rig: Rig) -> None:
        rig.open()
        rig.processes.rest(KEY, 0)
        await until(lambda: len(sent) == 2)  # what it is, and that it rests
        assert [one.is_resting for one in sent] == [False, True]
        rig.put(0)
        await until(lambda: rig.session.done)
        assert [one.is_resting for one in sent] == [False, True, False]
        rig.processes.rest(KEY, 0)
        await until(lambda: len(sent) == 4)
        assert (sent[-1].is_resting, sent[-1].first_number) == (True, 1)

    run(test)


def test_keyframes_are_measured_and_the_worker_hears_of_it() -> None:
    async def test(rig: Rig) -> None:
        rig.open(replace(FORMAT, quality_every_ms=1))
        for number in range(4):
            rig.put(number, is_key=number == 3)  # before it the cost of encoding is not known
            await until(lambda number=number: len(rig.session.done) == number + 1)  # type: ignore[misc]
        await until(lambda: rig.session.measured)
        (found,) = rig.session.measured
        assert 0.9 < found.ssim <= 1  # a grey picture
        assert found.psnr_db > 30

    run(test)


def test_a_pictures_places_come_back_in_one_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[int] = []
    take = EncoderProcesses._on_answer

    def count(self: EncoderProcesses, message: Any) -> None:
        if isinstance(message, EncoderDone):
            answers.append(len(message.pictures))
        take(self, message)

    monkeypatch.setattr(EncoderProcesses, "_on_answer", count)

    async def test(rig: Rig) -> None:
        rig.open(FORMAT, SMALL)
        for number in range(5):
            rig.put(number)
            await until(lambda number=number: len(rig.session.done) == 2 * (number + 1))  # type: ignore[misc]
        assert answers == [2] * 5

    run(test)


def test_a_worker_that_is_gone_takes_its_streams_along() -> None:
    async def test(rig: Rig) -> None:
        rig.open()
        rig.put(0)
        await until(lambda: rig.session.done)
        rig.processes.close()
        await until(lambda: rig.streams == 0)

    run(test)


def pools_open() -> int:
    """Descriptors of pools in this process."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found += "tfarm-pictures" in os.readlink(f"/proc/self/fd/{name}")
    return found


def opening(pool: str = "a", **changes: Any) -> EncoderOpen:
    places = lay_out([(160, 90)])
    rendition = EncodedRendition(FORMAT, Fraction(30), 0, places.renditions[0].pitch, 0)
    message = EncoderOpen(*KEY, 1, pool, 8, 1000, parse_sps(PLAIN_SPS), (rendition,))
    return replace(message, **changes)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (opening("none such"), "never came"),
        (opening(pictures=9), "pictures up to"),
        (opening(pictures=0), "0 pictures"),
        (opening(renditions=()), ""),
    ],
)
def test_what_cannot_be_opened_is_lost_in_words_and_leaves_nothing(
    message: EncoderOpen, words: str
) -> None:
    async def test(rig: Rig) -> None:
        sender = PoolSender(rig.service.hello().endpoint.pools)
        assert sender.send("a", rig.pool.fd)
        before = pools_open()
        sink: Any = Sink()
        rig.service._on_frames([encode(message)], sink)
        assert len(sink.answers) == len(message.renditions)
        assert all(words.encode() in frames[0] for frames in sink.answers)
        assert rig.streams == 0
        after = pools_open()
        sender.close()
        assert after <= before + (message.pool != "a")  # what nobody takes waits

    run(test)


def test_what_is_no_message_for_it_is_counted_and_ends_nothing() -> None:
    async def test(rig: Rig) -> None:
        rig.open()
        rig.put(0)
        await until(lambda: rig.session.done)
        sink: Any = Sink()
        wrong = EncoderPictures(*KEY, 1, 33, False, False, 0.0, 0.0, (ScaledPicture(0, 8),))
        for frames in (
            [b"nonsense"],
            [encode(EncoderDone(*KEY, 1, ()))],
            [encode(EncoderLost(*KEY, 1, 0, 0, "no"))],
            [encode(wrong), b""],
            [encode(wrong)],
        ):
            rig.service._on_frames(frames, sink)
        assert rig.service.heartbeat().counters["unreadable"] == 5
        rig.put(1)
        await until(lambda: len(rig.session.done) == 2)

    run(test)


def test_a_worker_reaches_no_stream_and_no_memory_of_another_one() -> None:
    async def test(rig: Rig) -> None:
        rig.open()
        rig.put(0)
        await until(lambda: rig.session.done)
        other: Any = Sink(pid=1)
        place = (ScaledPicture(0, 1),)
        for message in (
            EncoderPictures(*KEY, 1, 33, False, False, 0.0, 0.0, place),
            EncoderClose(*KEY, 1, "the rebel", True),
            opening(opening=2),
            opening(),
        ):
            rig.service._on_frames([encode(message), b""], other)
        assert len(other.answers) == 2
        assert all(b"never came" in frames[0] for frames in other.answers)
        assert rig.streams == 1
        rig.put(1)
        await until(lambda: len(rig.session.done) == 2)
        assert rig.service.heartbeat().counters["pictures"] == 2
        assert not rig.session.lost

    run(test)


def test_a_thread_in_which_a_picture_hangs_ends_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(rig: Rig) -> None:
        rig.open()
        rig.put(0)
        await until(lambda: rig.session.done)
        failed: list[tuple[str, ExitCode]] = []
        monkeypatch.setattr(rig.process, "fail", lambda *words: failed.append(words))
        (stream,) = rig.service._streams.values()
        rendition = stream.encoders.renditions[0]
        rendition.posted += 1  # a picture that never gets done
        for _ in range(3):
            rig.service._watch(1.0)
        assert [code for _, code in failed] == [ExitCode.FAILED]
        assert "has been encoded for 2.0 s" in failed[0][0]
        rendition.posted -= 1

    run(test)

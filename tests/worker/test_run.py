"""What a worker keeps of what supervisors say, and what it tells them."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from common.errors import DeviceLost, ExitCode
from common.ipc.child import ChildProcess
from common.ipc.control_messages import (
    EncoderLimitReport,
    Fatal,
    HostLoad,
    StreamTrouble,
)
from common.ipc.identity import Generation, StreamId
from common.ipc.kinds import KINDS
from common.ipc.media_messages import StreamStart
from common.media.clock import ClockReference
from common.media.units import VideoCodec
from tests.kit.children import CPU0
from tests.kit.session_driver import DEADLINE_S, SourceSpec, make_source, template
from worker.devices.table import open_device
from worker.run import Worker
from worker.session.events import EncoderLimitHit
from worker.session.session import SessionState


def worker_in(run_dir: Path) -> tuple[ChildProcess, Worker]:
    process = ChildProcess(KINDS["worker"], CPU0, run_dir)
    return process, Worker(process, open_device("cpu", 1))


def test_a_cap_on_encoder_sessions_is_told_again_when_it_is_news() -> None:
    async def told(run_dir: Path) -> list[object]:
        process, worker = worker_in(run_dir)
        sent: list[object] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(process, "send", sent.append)
            again = EncoderLimitHit(4, "the driver", is_again=True)
            for event in (
                EncoderLimitHit(4, "the driver"),
                again,
                again,
                EncoderLimitHit(3, "the driver", True),
            ):
                worker._sessions._on_encoder_limit(event)
            worker.on_welcome()
            worker._sessions._on_encoder_limit(again)
        process.stop()
        await process.run(lambda _: worker)
        return [
            message.open_sessions for message in sent if isinstance(message, EncoderLimitReport)
        ]

    with TemporaryDirectory() as name:
        assert asyncio.run(told(Path(name))) == [4, 3, 4]


def test_another_supervisor_has_told_nothing_of_other_workers_streams() -> None:
    async def look(run_dir: Path) -> tuple[bool, bool]:
        process, worker = worker_in(run_dir)
        worker.on_message(HostLoad(10_000), ())
        before = worker._sessions.load.is_saturated
        worker.on_welcome()
        after = worker._sessions.load.is_saturated
        process.stop()
        await process.run(lambda _: worker)
        return before, after

    with TemporaryDirectory() as name:
        assert asyncio.run(look(Path(name))) == (True, False)


def test_of_all_who_meet_a_lost_device_only_the_first_met_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def look(run_dir: Path) -> tuple[list[object], ExitCode]:
        process, worker = worker_in(run_dir)
        sent: list[object] = []
        monkeypatch.setattr(process._link, "send", lambda message, _=(): sent.append(message))
        record = make_source(SourceSpec(frames=1)).record
        for key in "abc":
            start = StreamStart(
                StreamId(f"live/{key}"),
                Generation(1),
                template(),
                VideoCodec.H264,
                ClockReference(0, 0.0),
            )
            worker._sessions.start(start, record, 1000)
        sessions = list(worker._sessions)
        async with asyncio.timeout(DEADLINE_S):
            while any(session.state is not SessionState.RUNNING for session in sessions):
                await asyncio.sleep(0.01)
        for session in (sessions[1], sessions[0], sessions[2]):  # before the loop runs on
            session.on_device_lost(DeviceLost("fell off the bus"))
        return sent, await process.run(lambda _: worker)

    with TemporaryDirectory() as name:
        sent, exit_code = asyncio.run(look(Path(name)))
    assert exit_code == ExitCode.DEVICE_LOST
    assert [message.reason for message in sent if isinstance(message, Fatal)] == [
        "fell off the bus"
    ]
    troubles = [message for message in sent if isinstance(message, StreamTrouble)]
    assert all(trouble.is_workers_own for trouble in troubles)
    assert {trouble.stream_id: trouble.is_bystander for trouble in troubles} == {
        "live/a": True,
        "live/b": False,
        "live/c": True,
    }

"""Captures on the disk: who may read them, how many there are, what a full disk costs."""

import asyncio
import logging
import os
import stat
from pathlib import Path

import pytest

from common.capture.capture_file import CaptureInfo, read_whole
from common.config.settings import CaptureSettings
from ingest.capture.files import MAX_WAITING, CaptureFiles, remove_oldest
from ingest.capture.recent_messages import MessageMemory
from ingest.capture.recorder import CaptureJob
from ingest.streams.captures import CaptureResult
from tests.kit.ingest_ports import header, picture

INFO = CaptureInfo("live", "3fa2c1d0", "asked for", 1_700_000_000.0)


def _job() -> CaptureJob:
    memory = MessageMemory()
    memory.configure(1 << 20, 1000.0)
    recent = memory.begin()
    for at in range(200):
        recent.add([header(), picture(at)], float(at))
    return CaptureJob(INFO, recent.snapshot(), 199.0, ())


JOB = _job()


def write(directory: Path, settings: CaptureSettings, jobs: int = 1) -> list[CaptureResult]:
    async def main() -> list[CaptureResult]:
        loop = asyncio.get_running_loop()
        files = CaptureFiles(directory)
        files.configure(settings)
        results: list[CaptureResult] = []
        for _ in range(jobs):
            done: asyncio.Future[CaptureResult] = loop.create_future()
            files.put(JOB, done.set_result)
            results.append(await asyncio.wait_for(done, 20))
        return results

    return asyncio.run(main())


def test_a_file_appears_whole_and_for_its_user_alone(tmp_path: Path) -> None:
    (result,) = write(tmp_path / "captures", CaptureSettings())
    path = Path(result.path)
    assert path.parent == tmp_path / "captures"
    assert path.name.startswith("live-3fa2c1d0-20231114-221320-")
    assert (result.size_bytes, result.seconds) == (path.stat().st_size, 199)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    info, reads = read_whole([path.read_bytes()])
    assert (info, len(reads)) == (INFO, 200)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_disk_that_takes_nothing_costs_one_line(tmp_path: Path, caplog) -> None:
    (tmp_path / "file").touch()
    logging.getLogger("tfarm").propagate = True
    with caplog.at_level("WARNING", "tfarm"):
        (result,) = write(tmp_path, CaptureSettings(directory=str(tmp_path / "file")))
    assert "cannot write to" in result.error
    (record,) = caplog.records
    assert "capture not written stream=live/3fa2c1d0" in record.getMessage()


def test_what_could_not_be_written_to_its_end_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdopen", fail)
    (result,) = write(tmp_path, CaptureSettings())
    assert "No space left on device" in result.error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("max_files", "max_bytes", "kept"),
    [(10, 1000, 5), (3, 1000, 3), (10, 250, 2), (1, 1, 1), (10, 10, 1)],
)
def test_the_oldest_are_removed(tmp_path: Path, max_files, max_bytes, kept) -> None:
    paths = [tmp_path / f"{count}.tfcap" for count in range(5)]
    for count, path in enumerate(paths):
        path.write_bytes(bytes(100))
        os.utime(path, (count, count))
    other = tmp_path / "notes.txt"
    other.write_bytes(bytes(10_000))
    remove_oldest(tmp_path, max_files, max_bytes, paths[-1])
    assert sorted(tmp_path.glob("*.tfcap")) == paths[5 - kept :]
    assert other.exists()


def test_it_takes_no_more_than_a_few_at_a_time(tmp_path: Path) -> None:
    async def main() -> None:
        files = CaptureFiles(tmp_path)
        for _ in range(MAX_WAITING):
            assert not files.is_busy
            files.put(JOB, lambda result: None)
        assert files.is_busy
        while files.is_busy:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(main(), 20))

"""What a worker keeps of what supervisors say."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from common.control_messages import StreamsElsewhere, Welcome
from common.identity import BootId, ChildName
from common.settings import Settings
from worker.run import Worker, open_backend


def test_another_supervisor_has_told_nothing_of_other_workers_streams() -> None:
    async def look(run_dir: Path) -> tuple[bool, bool]:
        worker = Worker(ChildName("worker:cpu:0"), run_dir, *open_backend("cpu", 1, 1))
        worker.on_message(StreamsElsewhere(10_000))
        before = worker._around.is_crowded()
        worker.on_message(Welcome(BootId("e" * 16), Settings(), ()))
        after = worker._around.is_crowded()
        worker.stop()
        await worker.run()
        return before, after

    with TemporaryDirectory() as name:
        assert asyncio.run(look(Path(name))) == (True, False)

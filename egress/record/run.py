"""The `record` child's shell (IO): an egress that is no home, whose only output writes files."""

import asyncio
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

from common.ipc.child import ChildProcess
from common.ipc.record_messages import RecordReport
from egress.assigned import AssignedService
from egress.record.output import RecordOutput

REPORT_S: Final = 1.0


class RecordService(AssignedService[RecordOutput]):
    """A `ChildService`."""

    def __init__(self, process: ChildProcess, directories: Sequence[Path]) -> None:
        super().__init__(process, lambda egress: RecordOutput(egress, process.send, directories))

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        return (*super().tasks(), self._report())

    async def _report(self) -> None:
        await self.output.recover()
        while True:
            self.process.send(RecordReport(self.output.status(), self.output.known))
            await asyncio.sleep(REPORT_S)

"""The `record` child's shell (IO): an egress that is no home, whose only output writes files."""

import asyncio
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

from common.ipc.child import ChildProcess
from common.ipc.record_messages import RecordReport, RecordStreams
from egress.output import OutputContext
from egress.record.output import RecordOutput
from egress.service import ViewerService

REPORT_S: Final = 1.0


class RecordService(ViewerService):
    """A `ChildService`."""

    def __init__(self, process: ChildProcess, directories: Sequence[Path]) -> None:
        def make(egress: OutputContext) -> RecordOutput:
            self._output = RecordOutput(egress, process.send, directories)
            return self._output

        super().__init__(process, (make,), lambda settings: 0)

    def on_message(self, message: Any, payloads: Sequence[bytes]) -> None:
        if isinstance(message, RecordStreams):
            self._output.follow(message.streams)
        else:
            super().on_message(message, payloads)

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        return (*super().tasks(), self._report())

    async def listen(self) -> None:
        """Nobody comes here."""

    async def _report(self) -> None:
        await self._output.recover()
        while True:
            self.process.send(RecordReport(self._output.status(), self._output.known))
            await asyncio.sleep(REPORT_S)

"""The `push` child's shell (IO): an egress that is no home, whose only output calls others."""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from common.config.settings import Settings
from common.ipc.child import ChildProcess
from common.ipc.push_messages import PushReport, PushStreams
from egress.output import OutputContext
from egress.push.output import PushOutput
from egress.push.target_context import TargetContext
from egress.service import ViewerService

REPORT_S: Final = 1.0


class PushService(ViewerService):
    """A `ChildService`."""

    def __init__(self, process: ChildProcess) -> None:
        self._settings = Settings()
        context = TargetContext(asyncio.get_running_loop(), lambda: self._settings, time.monotonic)

        def make(egress: OutputContext) -> PushOutput:
            self._output = PushOutput(egress, context)
            return self._output

        super().__init__(process, (make,), lambda settings: 0)

    def configure(self, settings: Settings) -> None:
        self._settings = settings
        super().configure(settings)

    def on_message(self, message: Any, payloads: Sequence[bytes]) -> None:
        if isinstance(message, PushStreams):
            self._output.follow(message.streams)
        else:
            super().on_message(message, payloads)

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        return (*super().tasks(), self._report())

    async def listen(self) -> None:
        """Nobody comes here."""

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_S)
            self.process.send(PushReport(self._output.status(), self._output.known))

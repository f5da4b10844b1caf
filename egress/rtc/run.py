"""The `rtc` child's shell (IO): an egress that is no home, with WebRTC as its only output."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from common.config.settings import Listen, Settings
from common.ipc.child import ChildProcess
from common.ipc.control_messages import Endpoint, Heartbeat, Hello
from egress.rtc.output import WhepOutput
from egress.run import EgressServer


class RtcService:
    """A `ChildService`."""

    def __init__(self, process: ChildProcess, listen: Listen) -> None:
        self._listen = listen
        self._egress = EgressServer(process, (WhepOutput,), is_home=False)
        (output,) = self._egress.outputs
        assert isinstance(output, WhepOutput)
        self._sessions = output.sessions

    def hello(self) -> Hello:
        return self._egress.hello()

    def heartbeat(self) -> Heartbeat:
        return self._egress.heartbeat()

    def configure(self, settings: Settings) -> None:
        self._egress.configure(settings)

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None:
        self._egress.on_topology(endpoints)

    def on_welcome(self) -> None:
        self._egress.on_welcome()

    def on_message(self, message: Any, payloads: Sequence[bytes]) -> None:
        self._egress.on_message(message, payloads)

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        return (*self._egress.tasks(), self._serve())

    async def end(self) -> None:
        await self._egress.end()

    def close(self) -> None:
        self._egress.close()

    async def _serve(self) -> None:
        await self._sessions.listen(self._listen.host, self._listen.port)
        await asyncio.Event().wait()

"""The API process's shell (IO): its listener, the HTTP server and the link to the supervisor.

Where its address is in use it says its hello anew as soon as it listens.
"""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any

from api.answers import Answers
from api.farm_link import FarmLink
from api.live import LiveStreams
from api.questions import Questions
from api.server import HttpServer
from common.config.settings import Listen, Settings
from common.http.listener import HttpListener
from common.ipc.api_messages import PlayerList, Snapshot
from common.ipc.child import ChildProcess
from common.ipc.command_messages import Answer
from common.ipc.control_messages import Endpoint, Heartbeat, Hello
from common.ipc.identity import ChildId
from common.ipc.kinds import has_viewers
from common.version import VERSION


class Api:
    """A `ChildService`."""

    def __init__(self, process: ChildProcess, listen: Listen) -> None:
        self._process = process
        self._link = FarmLink(process.send, lambda: process.supervisor_silent_s)
        self._egresses: set[ChildId] = set()
        self._questions = Questions(process.child, process.send, lambda: self._egresses)
        self._live = LiveStreams()
        answers = Answers(self._link, self._questions, self._live, VERSION)
        self._server = HttpServer(answers)
        self._endpoint = Endpoint(process.child, process.boot_id)
        self._listener = HttpListener(listen, "api.listen")
        process.is_idle = lambda: True  # nothing here is due sooner than once a second

    def hello(self) -> Hello:
        return self._process.new_hello(self._endpoint, listen=self._listener.addresses)

    def heartbeat(self) -> Heartbeat:
        self._server.check(time.monotonic())
        return self._process.new_heartbeat(counters=self._server.counters)

    def configure(self, settings: Settings) -> None:
        self._server.configure(settings)

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None:
        self._egresses = {each.child for each in endpoints if has_viewers(each.child.kind)}
        self._live.follow(endpoints)

    def on_welcome(self) -> None:
        self._link.on_new_supervisor()

    def on_message(self, message: Any, payloads: Sequence[bytes]) -> None:
        match message:
            case Answer():
                self._link.on_answer(message)
            case PlayerList():
                self._questions.on_players(message)
            case Snapshot():
                self._questions.on_snapshot(message, payloads[0] if payloads else b"")
            case _:
                pass  # whatever a newer supervisor says: nothing to do here

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        return (self._serve(),)

    async def end(self) -> None:
        await self._server.end()

    def close(self) -> None:
        self._link.close()
        self._listener.close()

    async def _serve(self) -> None:
        had_none = not self._listener.addresses
        sock = await self._listener.wait()
        if had_none:
            self._process.send(self.hello())
        await self._server.serve(sock)
        await asyncio.Event().wait()

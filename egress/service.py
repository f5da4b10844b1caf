"""What the processes with viewers by other ways than `egress`'s share (IO): a `ChildService`.

Each is an egress that is no stream's home, with outputs of its own, and what else it listens at.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from common.config.settings import Settings
from common.ipc.child import ChildProcess
from common.ipc.control_messages import Endpoint, Heartbeat, Hello
from egress.entrance import MostViewers
from egress.output import Output, OutputContext
from egress.run import EgressServer


class ViewerService(ABC):
    """Hands everything to its egress; a kind of child adds what is its own."""

    def __init__(
        self,
        process: ChildProcess,
        outputs: Sequence[Callable[[OutputContext], Output]],
        most_viewers: MostViewers,
    ) -> None:
        """`most_viewers`: how many may be here at once by the settings."""
        self.process = process
        self.egress = EgressServer(process, outputs, is_home=False, most_viewers=most_viewers)

    @abstractmethod
    async def listen(self) -> None:
        """Listen for viewers, as soon as that can be."""

    def hello(self) -> Hello:
        return self.egress.hello()

    def heartbeat(self) -> Heartbeat:
        return self.egress.heartbeat()

    def configure(self, settings: Settings) -> None:
        self.egress.configure(settings)

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None:
        self.egress.on_topology(endpoints)

    def on_welcome(self) -> None:
        self.egress.on_welcome()

    def on_message(self, message: Any, payloads: Sequence[bytes]) -> None:
        self.egress.on_message(message, payloads)

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        return (*self.egress.tasks(), self._listen())

    async def end(self) -> None:
        await self.egress.end()

    def close(self) -> None:
        self.egress.close()

    async def _listen(self) -> None:
        await self.listen()
        await asyncio.Event().wait()

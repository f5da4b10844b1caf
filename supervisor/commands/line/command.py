"""What a command of `tfarm` is: one file, with both ends of it. Pure.

To add a command: a module beside this folder with a `COMMAND`, and its name in `table.py`. `run`
is the CLI's end: a function whose parameters typer reads, with its heavy imports inside. `answer`
is the supervisor's end, for what is asked of a running farm.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from common.ipc.figures import FarmFigures


@dataclass(frozen=True, slots=True)
class Reply:
    """The supervisor's answer: words for people, a JSON document for programs."""

    ok: bool
    text: str = ""
    document: Mapping[str, Any] | FarmFigures | None = None


class Operated(Protocol):
    """What may be asked of streams and devices (`supervisor.farm.operators.operations`)."""

    def kick(self, app: str, key: str, for_s: float) -> str: ...

    def unkick(self, app: str, key: str) -> str: ...

    def ban(self, target: str, for_s: float, reason: str) -> tuple[bool, str]: ...

    def unban(self, target: str) -> tuple[bool, str]: ...

    def bans(self) -> list[dict[str, Any]]: ...

    def capture(
        self, app: str, key: str, *, headers_only: bool
    ) -> tuple[bool, str, dict[str, Any]]: ...

    def capture_result(self, request_id: int) -> tuple[bool, str, dict[str, Any]]: ...

    def switch(self, app: str, key: str, role: str) -> tuple[bool, str]: ...

    def drain(self, device: str) -> tuple[bool, str, dict[str, Any]]: ...

    def undrain(self, device: str) -> tuple[bool, str]: ...

    def drain_all(self, timeout_s: float | None) -> dict[str, Any]: ...

    def undrain_all(self) -> str: ...

    def rebalance(self) -> str: ...


class Reported(Protocol):
    """What may be known of a farm."""

    def status(self) -> dict[str, Any]: ...

    def figures(self) -> FarmFigures: ...

    def cluster(self) -> dict[str, Any] | None: ...

    def fit(self, app: str, source: str, codec: str, bits: int) -> dict[str, Any] | str: ...


class Upgradable(Protocol):
    """What may be asked of an upgrade (`supervisor.upgrade`)."""

    def request(self, executable: str, path: str, deadline_s: float) -> tuple[bool, str]: ...

    def document(self) -> dict[str, Any]: ...


class Configured(Protocol):
    """What may be asked of a farm's configuration (`supervisor.configuration`)."""

    def reload(self) -> tuple[bool, str]: ...

    def push_templates(self, text: str) -> tuple[bool, str]: ...

    def templates_document(self) -> dict[str, Any]: ...


class Added(Protocol):
    """What may be added to the configuration (`supervisor.additions.additions`)."""

    def pull(self, given: Mapping[str, str]) -> tuple[bool, str]: ...

    def unpull(self, app: str, key: str) -> tuple[bool, str]: ...

    def push(self, given: Mapping[str, str]) -> tuple[bool, str, dict[str, Any]]: ...

    def unpush(self, push: str) -> tuple[bool, str]: ...


class RunningFarm(Protocol):
    """The supervisor, as commands see it."""

    @property
    def operations(self) -> Operated: ...

    @property
    def report(self) -> Reported: ...

    @property
    def upgrade(self) -> Upgradable: ...

    @property
    def configuration(self) -> Configured: ...

    @property
    def additions(self) -> Added: ...

    def stop(self) -> None: ...


Arguments = Mapping[str, str]
Answer = Callable[[RunningFarm, Arguments], Reply]


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """One command."""

    name: str
    run: Callable[..., None]
    answer: Answer | None = None  # None: it asks no farm by this name
    # Called once the answer is on its way, for what may end the supervisor.
    afterwards: Callable[[RunningFarm], None] | None = None
    example: str = ""  # a command line that its help shows

"""Messages of the control plane: the CLI ↔ supervisor. Pure values."""

from dataclasses import dataclass, field

from common.ipc.envelope import message


@message("command")
@dataclass(frozen=True, slots=True)
class Command:
    """The CLI asks: "status", "stop", "reload", "kick", "drain", …"""

    request_id: int
    name: str
    arguments: dict[str, str] = field(default_factory=dict)


@message("answer")
@dataclass(frozen=True, slots=True)
class Answer:
    """The supervisor answers a `Command`; `json` is a JSON document, empty when there is none."""

    request_id: int
    ok: bool
    text: str = ""
    json: str = ""

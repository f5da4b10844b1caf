"""Messages about who takes a child's place: supervisor → child. Pure values."""

from dataclasses import dataclass

from common.ipc.envelope import message


@message("successor")
@dataclass(frozen=True, slots=True)
class Successor:
    """To an ingest or the tls child: this process may take its listening sockets over."""

    pid: int


@message("retire")
@dataclass(frozen=True, slots=True)
class Retire:
    """To who has a successor: take nobody new, serve whom you have, end when nobody is left."""

    deadline_s: float = 0.0  # end them then, in order; 0: never

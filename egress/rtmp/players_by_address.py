"""How many players each address has, at this egress and at the others. Pure.

Where several egresses share the players, the limit per address is the farm's: the supervisor tells
each what addresses hold at the others, a second or two late.
"""

from common.access.peer_address import Held, Holders, Networks, held_by, to_tell
from common.config.settings import Settings


class PlayersByAddress:
    """The book of one egress."""

    def __init__(self, settings: Settings) -> None:
        self._here = Holders()
        self._elsewhere: Held = {}
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Use other limits from now on; who plays goes on."""
        self._limit = settings.egress.max_players_per_address
        self._exempt = Networks(settings.ingest.exempt_networks)

    def add(self, host: str) -> None:
        self._here.add(host)

    def remove(self, host: str) -> None:
        self._here.remove(host)

    def are_too_many(self, host: str) -> bool:
        """Whether its last player is beyond the limit."""
        elsewhere, _ = held_by(host, self._elsewhere)
        return self._here[host] + elsewhere > self._limit and host not in self._exempt

    def held(self) -> dict[str, tuple[int, int]]:
        """What limited addresses have here: players, and no publishers."""
        return to_tell(self._here, Holders(), self._exempt)

    def told_elsewhere(self, held: Held) -> None:
        """What addresses have at the other egresses, in the form of `held`."""
        self._elsewhere = held

"""How many players each address has, at this egress and at the others. Pure.

Where several egresses share the players, the limit per address is the farm's: the supervisor tells
each what addresses hold at the others, a second or two late.
"""

from collections.abc import Mapping

from common.peer_address import Holders, Networks, subscriber
from common.settings import Settings

MAX_TOLD = 1_000  # addresses, to the supervisor

Held = Mapping[str, tuple[int, int]]  # as in heartbeats: here the first of the two counts


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
        elsewhere, _ = self._elsewhere.get(subscriber(host), (0, 0))
        return self._here[host] + elsewhere > self._limit and host not in self._exempt

    def held(self) -> dict[str, tuple[int, int]]:
        """What limited addresses have here, for the supervisor."""
        return {
            peer: (players, 0)
            for peer, players in self._here.largest(MAX_TOLD)
            if peer.partition("/")[0] not in self._exempt
        }

    def told_elsewhere(self, held: Held) -> None:
        """What addresses have at the other egresses, in the form of `held`."""
        self._elsewhere = held

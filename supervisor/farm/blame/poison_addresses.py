"""Addresses whose streams take workers down, whatever their keys. Pure.

An address is poison for `MEMORY_S` after a worker died of one of its streams, as far as is known;
its streams share a worker of their own then. When that dies, or another that had none but its
streams, the address is refused for `REFUSED_S`: with a new key each time one could take workers
down for ever. Where others were there too, one of them may have waited for a newcomer to put the
blame on: that counts for little, `SUSPICIONS` of it for as much. IPv6 addresses count by their /64.
Who is exempt is known by nobody here.
"""

from dataclasses import dataclass, field

from common.ipc.identity import StreamId

CRASHES = 2
SUSPICIONS = 4
MEMORY_S = 600.0
REFUSED_S = 600.0
MAX_KNOWN = 10_000


@dataclass(slots=True)
class _Record:
    crashes_s: list[float] = field(default_factory=list)  # the last ones
    certain_s: list[float] = field(default_factory=list)  # of these, whose cause is known
    cause: str = ""  # how the last worker ended
    streams: set[StreamId] = field(default_factory=set)  # that took workers down
    refused_until_s: float = 0.0


class PoisonAddresses:
    """The records of addresses, each as `common.access.peer_address.subscriber` gives it."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}

    def blame(
        self,
        peer: str,
        stream_id: StreamId,
        reason: str,
        now: float,
        *,
        was_apart: bool,
        is_certain: bool,
    ) -> bool:
        """A worker died of this stream; whether the address is refused from now on.

        `was_apart`: it had a worker apart from others'. `is_certain`: the worker had this address's
        streams alone, or hung with this one.
        """
        record = self._records.pop(peer, None) or _Record()
        while len(self._records) >= MAX_KNOWN:
            del self._records[next(iter(self._records))]
        self._records[peer] = record
        recent = [at_s for at_s in record.crashes_s if now - at_s < MEMORY_S]
        record.crashes_s = [*recent, now][-SUSPICIONS:]
        if is_certain:
            known = [at_s for at_s in record.certain_s if now - at_s < MEMORY_S]
            record.certain_s = [*known, now][-CRASHES:]
        record.cause = reason
        record.streams.add(stream_id)
        is_certain_enough = is_certain and (was_apart or len(record.certain_s) >= CRASHES)
        if is_certain_enough or len(record.crashes_s) >= SUSPICIONS:
            record.refused_until_s = now + REFUSED_S
        return now < record.refused_until_s

    def is_poison(self, peer: str, now: float) -> bool:
        """Whether its streams are to be apart."""
        record = self._records.get(peer)
        return record is not None and any(now - at_s < MEMORY_S for at_s in record.crashes_s)

    def refusal(self, peer: str, now: float) -> str:
        """Why its publishers are refused, for them; "": they are not."""
        record = self._records.get(peer)
        if record is None or now >= record.refused_until_s:
            return ""
        minutes = max(1, round((record.refused_until_s - now) / 60))
        return (
            f"a stream from this address took workers down ({record.cause}); the address is "
            f"refused for another {minutes} min"
        )

    def clear(self, peer: str) -> bool:
        """Forget what is known of an address; whether anything was."""
        return self._records.pop(peer, None) is not None

    def clear_stream(self, stream_id: StreamId) -> bool:
        """Forget what is known of addresses for this stream; whether anything was."""
        found = [peer for peer, known in self._records.items() if stream_id in known.streams]
        for peer in found:
            del self._records[peer]
        return bool(found)

"""How long one who gives a wrong key waits for the answer. Pure.

Guesses are told by address (of IPv6: by /64). The first few wrong keys of an address are answered
at once; then each answer comes later than the one before it, after twice the time, up to
`LONGEST_S`: however many connections ask, the answers to all of them come one after the other. Who
gives a right key is let in at once, so that nobody behind the same address is kept out by what
another one does there. `FORGET_S` without a wrong key take one step back.

Who does not wait for the answer, and takes its absence for one, still has no more attempts than
`ingest.max_handshakes_per_address`: that a key is long is what keeps it.
"""

from dataclasses import dataclass

from common.access.peer_address import Networks, subscriber

FREE = 3  # wrong keys
FIRST_S = 1.0
LONGEST_S = 30.0  # also the longest that a peer is let wait
FORGET_S = 60.0
MAX_ADDRESSES = 10_000


@dataclass(slots=True)
class _Guesses:
    count: int
    counted_s: float  # when it was put right last
    answered_s: float  # when the last answer is due


class WrongKeys:
    """The wrong keys of each address; takes no memory for those that have given none lately."""

    def __init__(self) -> None:
        self._guesses: dict[str, _Guesses] = {}  # the one that guessed last is the last
        self._exempt = Networks(())

    def __len__(self) -> int:
        return len(self._guesses)

    def configure(self, exempt: Networks) -> None:
        """Answer these at once, whatever they give."""
        self._exempt = exempt

    def delay(self, host: str, now: float) -> float:
        """Count a wrong key of an address; how many seconds its answer is to wait.

        `now` is CLOCK_MONOTONIC.
        """
        if host in self._exempt:
            return 0.0
        peer = subscriber(host)
        guesses = self._guesses.pop(peer, None) or _Guesses(0, now, now)
        steps_back = int((now - guesses.counted_s) / FORGET_S)
        if steps_back:
            guesses.count = max(0, guesses.count - steps_back)
            guesses.counted_s = now
        guesses.count += 1
        if guesses.count == 1:
            guesses.counted_s = now
        if len(self._guesses) >= MAX_ADDRESSES:
            del self._guesses[next(iter(self._guesses))]
        self._guesses[peer] = guesses
        step = guesses.count - FREE
        if step <= 0:
            return 0.0
        pause_s = min(LONGEST_S, FIRST_S * 2.0 ** min(step - 1, 16))
        wait_s = min(LONGEST_S, max(0.0, guesses.answered_s - now) + pause_s)
        guesses.answered_s = now + wait_s
        return wait_s

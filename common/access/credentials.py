"""Who a publisher is where another wants its stream: by what it was let in, and from where. Pure.

A stream is its publisher's while that is there, and for `hold` after it has left. Who comes for it
then is the same one if it was let in by the same entry of the configured keys; where no key is
asked for, if it comes from the same address (of IPv6: the same /64). An entry that lets nobody in
any more, since the configuration is another one now, gives no claim: whose key was taken out does
not keep those out who have a good one.
"""

from collections.abc import Collection
from dataclasses import dataclass

from common.access.peer_address import subscriber
from common.access.refusal import Refusal, RefusalReason
from common.words import time_left


@dataclass(frozen=True, slots=True)
class Credentials:
    """Those of one publisher."""

    address: str = ""  # of its subscriber; "": not told
    # Of `common.access.authorise`; "": nothing was asked for. Behind a colon may stand who a hook
    # says it is.
    entry: str = ""


UNTOLD = Credentials()  # those of one of whom nothing was said


def credentials(host: str, entry: str) -> Credentials:
    """Those of a publisher at an address whom a key's entry let in."""
    return Credentials(subscriber(host), entry)


def may_succeed(owner: Credentials, newcomer: Credentials, entries: Collection[str]) -> bool:
    """Whether `newcomer` may go on with what `owner` publishes, or has published.

    `entries` are those that let a publisher in today.
    """
    if not (owner.address and newcomer.address) or owner.entry.partition(":")[0] not in entries:
        return True  # of one of them an ingest of an earlier version said nothing
    return is_same_publisher(owner, newcomer)


def is_same_publisher(one: Credentials, other: Credentials) -> bool:
    """Whether both are one publisher, as far as anybody can tell; of the untold nobody can."""
    if not (one.address and other.address):
        return True
    if one.entry or other.entry:
        return one.entry == other.entry
    return one.address == other.address


IN_USE = Refusal(RefusalReason.NAME_IN_USE, "the stream key is in use")


def not_its_own(owner: Credentials, held_s: float | None = None) -> Refusal:
    """The refusal of one who may not succeed `owner`.

    `held_s`: for so long the stream waits for that one; None: that one is there.
    """
    where = "with the same publish key" if owner.entry else "from the same address"
    other = "with another publish key" if owner.entry else "at another address"
    if held_s is None:
        words = f"{IN_USE.words} by a publisher {other}: only one {where} takes over from it"
    else:
        words = (
            f"the stream waits {time_left(held_s)} more for its publisher: until then only one "
            f"{where} may go on with it"
        )
    return Refusal(RefusalReason.NAME_IN_USE, words)

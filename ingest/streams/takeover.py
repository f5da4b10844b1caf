"""Whether a publisher may have a stream that another publishes, or has published. Pure.

Who is there makes way by the template's rule, and only for the same publisher; what is held is for
the same one alone (`common/access/credentials.py`).
"""

from collections.abc import Collection

from common.access.credentials import IN_USE, Credentials, may_succeed, not_its_own
from common.access.refusal import Refusal
from ingest.streams.publisher import Publisher
from ingest.streams.stream import Stream


def why_not(
    there: Publisher | None,
    stream: Stream | None,
    newcomer: Credentials,
    entries: Collection[str],
    now: float,
) -> Refusal | None:
    """Why `newcomer` may not have a stream; `entries` are those of the keys that let in today."""
    if there is not None and not there.makes_way(now):
        return IN_USE
    if stream is None or may_succeed(stream.owner, newcomer, entries):
        return None
    held_s = stream.absence.left_ms(now) / 1000 if stream.absence is not None else None
    return not_its_own(stream.owner, held_s)

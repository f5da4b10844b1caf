"""The one check of publish and play keys. Pure.

A stream with keys of its own is open to these alone, any other to the app's. An *entry* stands for
those who were let in by it: all keys of one stream's own are one entry, each of an app's is one.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from common.config.ladder import Template
from common.config.stream_keys import StreamKeys

OPEN = ""  # the entry of those who need no key
OWN = "own"  # that of a stream's own keys

Entries = Mapping[str, Sequence[str]]  # SHA-256 hex digests, by entry

_ENTRY_CHARS = 16


def digest_of(key: str) -> str:
    """The SHA-256 of a key, in hex."""
    return hashlib.sha256(key.encode()).hexdigest()


def publish_entries(template: Template, own: StreamKeys | None) -> Entries:
    """What lets a publisher of a stream in; without any entry nobody is."""
    if own is not None and own.publish:
        return {OWN: own.publish}
    if template.publish_keys:
        return {digest[:_ENTRY_CHARS]: (digest,) for digest in template.publish_keys}
    return {} if template.needs_stream_key else {OPEN: ()}


def play_digests(template: Template, own: StreamKeys | None) -> Sequence[str]:
    """The digests of which a player must give one; without any, every player is let in."""
    return own.play if own is not None and own.play else template.play_keys


def entry_of(entries: Entries, key: str) -> str | None:
    """The entry by which `key` lets in; None: by none.

    Takes the same time whichever entry matches.
    """
    if OPEN in entries:
        return OPEN
    digest = digest_of(key).encode()
    found = None
    for entry, hashes in entries.items():
        for listed in hashes:
            if hmac.compare_digest(digest, listed.lower().encode()):
                found = entry
    return found

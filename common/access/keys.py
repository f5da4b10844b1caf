"""The one check of publish and play keys. Pure."""

import hashlib
import hmac
from collections.abc import Sequence


def is_key_allowed(hashes: Sequence[str], key: str) -> bool:
    """Whether `key` is one whose SHA-256 (hex) is listed; without any listed, every one is.

    Takes the same time whichever entry matches.
    """
    if not hashes:
        return True
    digest = hashlib.sha256(key.encode()).hexdigest()
    found = False
    for listed in hashes:
        found |= hmac.compare_digest(digest.encode(), listed.lower().encode())
    return found

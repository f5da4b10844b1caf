"""common/access/keys.py: the check of publish and play keys."""

import hashlib

from common.access.keys import is_key_allowed


def test_a_publish_key_must_be_one_of_those_listed() -> None:
    hashes = [hashlib.sha256(key).hexdigest() for key in (b"one", b"two")]
    assert is_key_allowed((), "whatever")
    assert is_key_allowed(hashes, "two")
    assert is_key_allowed([hashes[0].upper()], "one")
    assert not is_key_allowed(hashes, "")
    assert not is_key_allowed(hashes, "three")
    assert not is_key_allowed(["schlüssel"], "schlüssel")

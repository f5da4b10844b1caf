"""Names of streams between hosts: digests, because an id holds a credential. Pure."""

import hashlib
import hmac
import re

from common.ipc.identity import StreamId

MIN_SECRET_BYTES = 16
MAX_SECRET_BYTES = 4096
_DIGEST = re.compile(r"[0-9a-f]{64}")


def stream_digest(secret: bytes, stream_id: StreamId) -> str:
    """The HMAC-SHA256 of APP/KEY by the cluster's secret, in hex."""
    return hmac.new(secret, stream_id.encode(), hashlib.sha256).hexdigest()


def is_digest(text: str) -> bool:
    """Tell if a text from elsewhere may be a digest."""
    return _DIGEST.fullmatch(text) is not None


def secret_of(data: bytes) -> bytes:
    """The secret in a file, without white space around it.

    Raises:
        ValueError: it is too short or too long; the words hold nothing of it.
    """
    secret = data.strip()
    if not MIN_SECRET_BYTES <= len(secret) <= MAX_SECRET_BYTES:
        raise ValueError(
            f"must have {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes, "
            "such as `openssl rand -hex 32` prints"
        )
    return secret

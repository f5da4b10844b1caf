"""How a configuration file writes the keys of one stream. Pure."""

import hashlib
import re
from typing import Any

from common.config.values import Json, Kind

DIGEST = "sha256:"  # before the digest of a key that the file does not hold in clear
MAX_KEY_CHARS = 256
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# As common/rtmp/address.py has it of a publisher's address.
_STREAM = re.compile(r"(?!\.+$)[A-Za-z0-9._~+@=,!-]{1,128}")


class StreamKey(Kind):
    """The name of a stream in its app, as publishers write it."""

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or not _STREAM.fullmatch(value):
            raise ValueError("must be 1 to 128 letters, digits and . _ ~ - + @ = , !")
        return value

    def schema(self) -> Json:
        return {"type": "string", "pattern": f"^{_STREAM.pattern}$"}


class KeyTexts(Kind):
    """One key or several, each in clear or as `sha256:HEX`. A problem never shows one."""

    def read(self, value: Any) -> tuple[str, ...]:
        texts = value if isinstance(value, list) else [value]
        if not texts:
            raise ValueError("must hold at least one key; leave it out where there is none")
        for text in texts:
            if not isinstance(text, str) or not 1 <= len(text) <= MAX_KEY_CHARS:
                raise ValueError(f"must be a key of 1 to {MAX_KEY_CHARS} characters, or several")
            if text.startswith(DIGEST) and not _DIGEST.fullmatch(text):
                raise ValueError(f"{DIGEST} must be followed by 64 hex digits in lower case")
        return tuple(texts)

    def write(self, setting: tuple[str, ...]) -> list[str]:
        return list(setting)

    def range(self) -> str:
        return f'a key of 1 to {MAX_KEY_CHARS} characters or `"sha256:HEX"`, or an array of them'

    def schema(self) -> Json:
        text: Json = {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARS}
        return {"anyOf": [text, {"type": "array", "items": text, "minItems": 1}]}


def digest(text: str) -> str:
    """The SHA-256 digest, in hex, of a key as the file has it."""
    if _DIGEST.fullmatch(text):
        return text.removeprefix(DIGEST)
    return hashlib.sha256(text.encode()).hexdigest()

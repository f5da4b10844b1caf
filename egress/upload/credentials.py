"""Who signs what is sent to a bucket: a file as Amazon's tools have it, or the environment. Pure.

What is read here is shown nowhere: neither in a repr nor in the words of an error.
"""

import configparser
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Final

MAX_BYTES: Final = 64 * 1024
PROFILE: Final = "default"
_KEYS: Final = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A key, its secret, and the token of one that is valid for a while."""

    key_id: str = field(repr=False)
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)


def parse(text: str) -> Credentials:
    """Read a file's text.

    Raises:
        ValueError: it is none, with what it must have; the words hold nothing of it.
    """
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
    except configparser.Error:
        raise ValueError(f"must be lines of NAME = VALUE below [{PROFILE}]") from None
    if not parser.has_section(PROFILE):
        raise ValueError(f"must have a section [{PROFILE}]")
    found = _of(parser[PROFILE], _KEYS)
    if found is None:
        raise ValueError(f"must have {_KEYS[0]} and {_KEYS[1]} below [{PROFILE}]")
    return found


def taken_from(environ: MutableMapping[str, str]) -> Credentials | None:
    """What the environment has, which has none of Amazon's variables from then on."""
    found = _of(environ, tuple(map(str.upper, _KEYS)))
    for name in [name for name in environ if name.startswith("AWS_")]:
        del environ[name]
    return found


def _of(values: Mapping[str, str], names: tuple[str, ...]) -> Credentials | None:
    key_id, secret, token = (values.get(name, "").strip() for name in names)
    return Credentials(key_id, secret, token) if key_id and secret else None

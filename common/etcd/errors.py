"""What can be wrong with an answer of etcd. Pure.

- `EtcdError`
  - `EtcdAway`: there is no answer, or one that another endpoint or time may better
  - `EtcdRefused`: etcd says no, and would again
"""

from typing import Final

from common.errors import TfarmError

# gRPC's codes, as the gateway has them
CANCELLED, UNKNOWN, DEADLINE, NOT_FOUND, PRECONDITION, UNAVAILABLE, UNAUTHENTICATED = (
    1,
    2,
    4,
    5,
    9,
    14,
    16,
)
_PASSING: Final = frozenset({CANCELLED, UNKNOWN, DEADLINE, UNAVAILABLE})
MAX_WORDS: Final = 200


class EtcdError(TfarmError):
    """Etcd did not do what it was asked for."""


class EtcdAway(EtcdError):
    """There is no answer, and why."""


class EtcdRefused(EtcdError):
    """Etcd says no."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words[:MAX_WORDS])
        self.code = code

    @property
    def is_lease_missing(self) -> bool:
        """Tell if a lease that was named is not there."""
        return self.code == NOT_FOUND and "lease not found" in str(self)

    @property
    def is_lease_taken(self) -> bool:
        """Tell if a lease that was to be made is there already."""
        return "lease already exists" in str(self)

    @property
    def is_unauthenticated(self) -> bool:
        """Tell if a token is missing, or is not good any more."""
        return (
            self.code == UNAUTHENTICATED
            or "invalid auth token" in str(self)
            or "user name is empty" in str(self)
        )


def error_of(code: int, words: str) -> EtcdError:
    """The error that an answer with a code and words means."""
    if code in _PASSING:
        return EtcdAway(words[:MAX_WORDS])
    return EtcdRefused(code, words)

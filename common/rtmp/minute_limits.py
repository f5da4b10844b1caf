"""How often a peer may ask for work within a minute. Pure: the caller passes the time."""

import math
from typing import Final

from common.errors import ProtocolError
from common.rtmp.config import SessionConfig

MINUTE_S: Final = 60.0
SMALL_BYTES: Final = 16


class MinuteLimits:
    """Call `begin` when a minute has gone by since `began_s`, and count in between."""

    def __init__(self, config: SessionConfig) -> None:
        self.began_s = -math.inf
        self._max_calls = config.max_calls_per_minute
        self._max_small = config.max_small_messages_per_minute
        self._calls = 0
        self._small_messages = 0
        self._max_metadata = config.max_metadata_bytes_per_minute
        self._metadata_bytes = 0

    def begin(self, now: float) -> None:
        self._calls, self._small_messages, self.began_s = 0, 0, now
        self._metadata_bytes = 0

    def allows_metadata(self, size: int) -> bool:
        """Count metadata of so many bytes; False: too much to be read as what it is."""
        self._metadata_bytes += size
        return self._metadata_bytes <= self._max_metadata

    def count_call(self) -> None:
        """A command or a ping. Raises ProtocolError."""
        self._calls += 1
        if self._calls > self._max_calls:
            raise ProtocolError(f"more than {self._max_calls} commands within a minute")

    def count_small_message(self) -> None:
        """A message of less than `SMALL_BYTES`. Raises ProtocolError."""
        self._small_messages += 1
        if self._small_messages > self._max_small:
            raise ProtocolError(
                f"more than {self._max_small} messages of less than {SMALL_BYTES} bytes "
                "within a minute"
            )

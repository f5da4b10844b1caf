"""Whether one player was sent nothing for long, at little cost where all is well. Pure.

`now` is CLOCK_MONOTONIC in seconds.
"""

QUIET_S = 10.0  # after so long a sign of life is due (docs/rtmp.md, User control messages)
LOOK_S = 3.0  # how often it is looked for


class SilenceTimer:
    """Of one player, who is sent its media with others or alone."""

    __slots__ = ("_look_s", "_sends", "_sent_s")

    def __init__(self, now: float) -> None:
        self._sent_s = self._look_s = now
        self._sends = 0

    def is_quiet(self, now: float, progress_s: float, sends: int) -> bool:
        """Look, about once a second: whether it is to be sent something.

        `progress_s` is when it took something alone, `sends` how often its group was sent
        something; another group may count from anywhere.
        """
        if now < self._look_s:
            return False
        self._look_s = now + LOOK_S
        if sends != self._sends:
            self._sends, self._sent_s = sends, now
        if now - max(self._sent_s, progress_s) < QUIET_S:
            return False
        self._sent_s = now
        return True

"""How many streams share the host, as sessions need to know it. Pure.

The worker's loop writes it, a session's threads read it.
"""


class StreamLoad:
    """Streams of this worker and of the others, beside the cores that they share."""

    def __init__(self, cores: int) -> None:
        self.own = 0  # sessions of this worker
        self.elsewhere = 0  # streams of other workers on the same cores
        self._cores = cores

    @property
    def is_alone(self) -> bool:
        """Return whether no other session of this worker could be slowed down by a replay."""
        return self.own <= 1

    @property
    def is_saturated(self) -> bool:
        """Return whether there is a stream for every core of the host."""
        return self.own + self.elsewhere >= self._cores

"""How many bytes a peer has sent, and when that is acknowledged (RTMP 1.0 section 5.4.3). Pure."""

from common.rtmp.messages import acknowledgement


class Acknowledgements:
    """Of one connection. Everything received counts, the handshake included."""

    def __init__(self, every: int) -> None:
        """`every` so many bytes there is one."""
        self.received = 0
        self.acknowledged = 0
        self.peer_window: int | None = None  # what its Window Acknowledgement Size said
        self._most = self._every = every

    @property
    def is_due(self) -> bool:
        """Whether enough has come since the last one."""
        return self.received - self.acknowledged >= self._every

    @property
    def has_news(self) -> bool:
        """Whether anything has come since the last one."""
        return self.received > self.acknowledged

    def take(self) -> bytes:
        """The message, to be sent now."""
        self.acknowledged = self.received
        return acknowledgement(self.received)

    def set_peer_window(self, window: int) -> None:
        """The peer stops after `window` bytes without one: send one at half."""
        if window > 0:
            self.peer_window = window
            self._every = min(self._most, max(window // 2, 1))

"""What an operator says of one stream: the keys that are its own, and its limits. Pure values."""

from dataclasses import dataclass

from common.config.limits import StreamLimits


@dataclass(frozen=True, slots=True)
class StreamKeys:
    """The keys of one stream, as SHA-256 hex digests; without any of a kind the app's hold."""

    publish: tuple[str, ...] = ()
    play: tuple[str, ...] = ()
    limits: StreamLimits | None = None  # None: as the app

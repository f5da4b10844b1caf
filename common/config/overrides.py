"""What holds for one publisher's stream in place of its app's settings. Pure values.

A hook says it (`on_publish`); it goes with the stream, through its publisher's request and every
status, so that a supervisor that starts anew knows it too.
"""

from dataclasses import dataclass, field

from common.config.limits import StreamLimits


@dataclass(frozen=True, slots=True)
class StreamOverrides:
    """Of one stream; what is empty is as the app has it."""

    template: str = ""  # whose ladder, policy and times it has
    limits: StreamLimits | None = None
    play_keys: tuple[str, ...] = field(default=(), repr=False)  # SHA-256 hex digests


NO_OVERRIDES = StreamOverrides()

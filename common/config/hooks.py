"""An app's hook: an HTTP server that decides and is told. Pure values."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Self


class HookEvent(StrEnum):
    """What a hook is asked or told."""

    ON_PUBLISH = "on_publish"  # asked
    ON_PLAY = "on_play"  # asked
    ON_UNPUBLISH = "on_unpublish"  # told
    ON_STOP = "on_stop"  # told
    RECORDED = "recorded"  # told: a file is finished
    UPLOADED = "uploaded"  # told: it is in the app's bucket
    QUALITY = "quality"  # told: a rendition looks worse than its floor allows, or no more

    @property
    def is_question(self) -> bool:
        """Whether somebody waits for the answer."""
        return self in (HookEvent.ON_PUBLISH, HookEvent.ON_PLAY)


class OnError(StrEnum):
    """What becomes of one who asks when the hook has no answer."""

    DENY = "deny"
    ALLOW = "allow"


@dataclass(frozen=True, slots=True)
class Hooks:
    """The hook of one app."""

    url: str = ""  # "": there is none
    secret: str = field(default="", repr=False)  # signs what is sent
    events: tuple[HookEvent, ...] = tuple(HookEvent)
    deadline_s: float = 3.0  # for an answer
    on_error: OnError = OnError.DENY
    cache_s: float = 0.0  # how long an answer is good for the same question; 0: not
    retry_s: float = 600.0  # for how long a notice is tried
    parallel: int = 1  # requests of one stream at a time
    ca_file: str = ""  # of the certificates that are trusted; "": the system's

    def takes(self, event: HookEvent) -> bool:
        """Whether the hook is sent an event."""
        return bool(self.url) and event in self.events

    def without_secret(self) -> Self:
        """The same, for who sends nothing to it."""
        return replace(self, secret="")  # nosec B106 # it is taken out

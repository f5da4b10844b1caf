"""When a stream goes over to the publisher that stands by for it. Pure.

A main publisher goes before its backup. The backup is gone over to when the main one is away, sends
no pictures, or sends black ones or silence for longer than the template allows; and from there back
when the main one has sent pictures for a while. An operator's word goes before all that, as long as
the publisher that he wants is there. `now` is CLOCK_MONOTONIC in seconds.
"""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from common.config.ladder import Template

GONE_FRAMES = 3  # of a slow source, before its pictures are missed
READY_S = 1.0  # that the last picture of one may be old that stands by
COVER_MS = 30_000  # that a stream waits for the keyframe of one that stands by


class PublisherRole(StrEnum):
    """Of the two publishers of a stream."""

    MAIN = "main"
    BACKUP = "backup"


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of one of them."""

    role: PublisherRole
    picture_s: float | None  # when its last picture came; None: none has
    good_since_s: float | None = None  # pictures come since then, without a gap; None: not now
    fps: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which of them is wanted, whatever the rules say: by an operator, or for its pictures."""

    role: PublisherRole
    reason: str
    is_lasting: bool = True  # False: it is over when a main publisher comes anew


def is_ready(seen: Seen, now: float) -> bool:
    """Whether one that stands by can be gone over to."""
    return seen.picture_s is not None and now - seen.picture_s <= _most_s(READY_S, seen.fps)


def reason_to_switch(
    template: Template, active: Seen | None, standby: Seen, wanted: Wanted | None, now: float
) -> str:
    """Why the stream is to go over to the one that stands by; empty: it is not."""
    if not is_ready(standby, now):
        return ""
    if active is None:
        return f"the {_other(standby.role)} publisher is away"
    quiet_s = _quiet_s(template, active, now)
    if quiet_s is not None:
        return f"no picture of the {active.role} publisher for {quiet_s:.1f} s"
    if wanted is not None:
        return wanted.reason if wanted.role is standby.role else ""
    good_s = now - standby.good_since_s if standby.good_since_s is not None else 0.0
    if standby.role is PublisherRole.MAIN and good_s >= template.backup_return_s:
        return f"the main publisher is back for {good_s:.0f} s"
    return ""


def good_since(seen: Seen, now: float) -> float | None:
    """Since when the pictures of one come without a gap, looked at now."""
    if not is_ready(seen, now):
        return None
    return seen.good_since_s if seen.good_since_s is not None else now


def _other(role: PublisherRole) -> PublisherRole:
    return PublisherRole.BACKUP if role is PublisherRole.MAIN else PublisherRole.MAIN


def _quiet_s(template: Template, seen: Seen, now: float) -> float | None:
    """For how long the one that is on the air has sent no picture, if that is too long."""
    if seen.picture_s is None:
        return None  # it has just begun
    quiet_s = now - seen.picture_s
    return quiet_s if quiet_s >= _most_s(template.backup_after_s, seen.fps) else None


def _most_s(least_s: float, fps: Fraction | None) -> float:
    """How far apart two pictures may be."""
    return max(least_s, float(GONE_FRAMES / fps)) if fps else least_s

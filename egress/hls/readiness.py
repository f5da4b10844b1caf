"""Whether what a viewer asks for can be told or played, and how long to wait for it. Pure."""

from collections.abc import Sequence
from typing import Final, TypeVar

from egress.hls.stream import SOUND, HlsStream

SOUND_GRACE_S: Final = 0.3  # for the first word of sound: it comes from elsewhere
GRACE_S: Final = 1.0  # for the other tracks, once one can be played

R = TypeVar("R")


def first_asked(hls: HlsStream[R]) -> list[str]:
    """The renditions that must be there before all are listed.

    These are taken anyway, or are the smallest one, which is made for it: with it comes the sound.
    """
    taken = [name for name in hls.listed if name in hls.feeds]
    return taken or [name for name in hls.stream.transcoded if name not in hls.problems][-1:]


def lacks(hls: HlsStream[R], names: Sequence[str], now: float, *, to_list: bool = False) -> bool:
    """Whether some of these tracks, or the sound, cannot be played yet, and will be soon.

    `to_list`: of those on demand, and of the sound beside them, there only is to be something.
    """
    to_list = to_list and any(map(hls.feeds.is_on_demand, names))
    may_come = not hls.is_sound_known and now < hls.opened_s + SOUND_GRACE_S
    has_sound = hls.has_sound if to_list else hls.is_playable(SOUND)
    if to_list and hls.undescribed and now < hls.opened_s + GRACE_S:
        return True
    if not has_sound and (SOUND in hls.tracks or may_come):
        return True
    return not all(_has_begun(hls, name, to_list=to_list) for name in names)


def due_s(hls: HlsStream[R], names: Sequence[str]) -> float:
    """Until when it is worth waiting for the first whole segments of these renditions.

    One on demand begins anywhere in a segment, and may need the next one to be long enough.
    """
    gop_s = hls.gop_ms / 1000
    begun_s = [hls.feeds.begun_s(name) + gop_s for name in names]
    return max((hls.opened_s, *begun_s)) + gop_s + GRACE_S


def _has_begun(hls: HlsStream[R], name: str, *, to_list: bool) -> bool:
    if to_list and hls.feeds.is_on_demand(name):
        return name in hls.tracks and hls.tracks[name].window.has_media
    return hls.is_playable(name)

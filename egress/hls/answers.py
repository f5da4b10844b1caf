"""What an answer of HLS is by HTTP: its headers and its body. Pure.

The headers are the same for all answers of a kind, so they are made once.
"""

from functools import lru_cache
from typing import Final

from common.http.statuses import AnswerKind
from egress.hls.playlists import CONTENT_TYPE, SOUND, for_viewer
from egress.hls.window import Window

PLAYLIST: Final = AnswerKind(200, {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-cache"})
_INIT_AGE_S: Final = 86_400  # its name is made of its contents


def playlist_body(text: str, query: str) -> bytes:
    """A playlist for the viewer whose requests carry this query."""
    return for_viewer(text, query).encode()


def kind_of_media(name: str, window: Window) -> AnswerKind:
    """Of the segments and parts of the track of this name."""
    return _media(int(window.limits.seconds), is_sound=name == SOUND)


def kind_of_init(*, is_sound: bool) -> AnswerKind:
    """Of initialisation segments."""
    return _media(_INIT_AGE_S, is_sound=is_sound)


@lru_cache(16)
def _media(age_s: int, *, is_sound: bool) -> AnswerKind:
    kind = "audio/mp4" if is_sound else "video/mp4"
    cache = f"public, max-age={age_s}"
    return AnswerKind(200, {"Content-Type": kind, "Cache-Control": cache})

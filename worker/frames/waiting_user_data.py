"""A source's user data on their way into a rendition's coded pictures. Pure.

A rendition that does not take every picture must not lose their messages, so they wait for the next
picture that it takes, as captions do; unlike these, all that wait go with it, to stay in time. Of
stamps of UTC only the last one does: it is that picture's own.
"""

from common.media.units import VideoCodec
from common.sei.user_data import MAX_PICTURE_BYTES, UserData, user_data_unit
from common.sei.utc import has_utc, without_utc

MAX_WAITING_BYTES = 4 * MAX_PICTURE_BYTES  # of a rendition: the oldest give way
_CODECS = (VideoCodec.H264, VideoCodec.H265)  # AV1 has no such message


class WaitingUserData:
    """The messages of one rendition that wait for its next picture."""

    def __init__(self, codec: VideoCodec = VideoCodec.H264) -> None:
        """`codec`: the rendition's."""
        self._codec = codec
        self._messages: UserData = ()

    def add(self, messages: UserData) -> None:
        """Add those of the next picture in display order, whether the rendition takes it or not."""
        if not messages or self._codec not in _CODECS:
            return
        before = without_utc(self._messages) if has_utc(messages) else self._messages
        kept = [*before, *messages]
        waiting = sum(map(len, kept))
        while waiting > MAX_WAITING_BYTES:
            waiting -= len(kept.pop(0))
        self._messages = tuple(kept)

    def take(self) -> bytes:
        """What stands in front of the picture that the rendition takes; empty mostly."""
        if not self._messages:
            return b""
        messages, self._messages = self._messages, ()
        return user_data_unit(self._codec, messages)

"""A source's captions on their way into a rendition's coded pictures. Pure.

A rendition that does not take every picture must not lose their captions, so they wait for the
next picture that it takes. Other SEI are not passed on: they tell of the publisher's coding, not of
ours.
"""

from common.codecs.captions import MAX_TRIPLETS, caption_unit
from common.media.units import VideoCodec

_MAX_WAITING = 20 * MAX_TRIPLETS  # of a rendition; more are a broken publisher's


class WaitingCaptions:
    """The captions of one rendition that wait for its next picture."""

    def __init__(self, codec: VideoCodec = VideoCodec.H264) -> None:
        """`codec`: the rendition's."""
        self._codec = codec
        self._constructs = b""

    def add(self, constructs: bytes) -> None:
        """Add those of the next picture in display order, whether the rendition takes it or not."""
        if constructs:
            self._constructs = (self._constructs + constructs)[-3 * _MAX_WAITING :]

    def take(self) -> bytes:
        """What stands in front of the picture that the rendition takes; empty mostly."""
        if not self._constructs:
            return b""
        now = self._constructs[: 3 * MAX_TRIPLETS]
        self._constructs = self._constructs[3 * MAX_TRIPLETS :]
        return caption_unit(self._codec, now)

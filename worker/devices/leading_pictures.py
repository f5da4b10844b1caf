"""Which H.265 pictures cannot be decoded because what they refer to was never there. Pure.

RASL pictures follow a CRA picture in decoding order, precede it on show, and may refer to what came
before it (H.265 3.112, 8.1.3). Where decoding begins with that CRA picture, or goes on with it
after a gap, they are left out, up to the next picture that decoding can begin with.
"""

from common.codecs.h265 import RASL, is_irap, slice_type
from common.errors import ProtocolError


class LeadingPictures:
    """Of one stream of units, in the order of decoding."""

    def __init__(self, length_size: int) -> None:
        self._length_size = length_size
        self._is_broken = True  # what came before the next picture is not there
        self._omits = False  # likewise, for the keyframe that came last

    def takes(self, data: bytes, follows_gap: bool) -> bool:
        """Return whether a unit can be decoded; `follows_gap`: units before it were lost."""
        self._is_broken = self._is_broken or follows_gap
        try:
            kind = slice_type(data, self._length_size)
        except ProtocolError:
            return True  # the decoder is who complains of it
        if is_irap(kind):
            self._omits, self._is_broken = self._is_broken, False
        return not (self._omits and kind in RASL)

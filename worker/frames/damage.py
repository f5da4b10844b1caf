"""Which decoded pictures are fit to be shown after something was lost or broken. Pure.

What follows a lost or damaged unit refers to it, up to the next keyframe, so it is hidden: a short
freeze looks better than smeared blocks. Not for longer than `freeze_ms`, though: then concealed
pictures are better than none, and a stream whose every keyframe is damaged must not look like a
worker that hangs.
"""


class DamageGate:
    """Hides damage; report units in decoding order, then ask about pictures in display order."""

    def __init__(self, freeze_ms: int = 1000) -> None:
        self._freeze_ms = freeze_ms
        self._since_ms: int | None = None  # hidden since this PTS
        self._key_ms: int | None = None  # PTS of the keyframe that mends what came before it

    def unit_lost(self, pts_ms: int) -> None:
        """A unit of about this time was dropped, or could not be decoded."""
        if self._since_ms is None:
            self._since_ms = pts_ms
        self._forget_key(pts_ms)

    def keyframe_in(self, pts_ms: int) -> None:
        """A keyframe went into the decoder: what is shown from it on is whole again."""
        self._key_ms = pts_ms

    def shows(self, pts_ms: int, is_damaged: bool) -> bool:
        """Return whether to show this picture."""
        if is_damaged:
            if self._since_ms is None:
                self._since_ms = pts_ms
            self._forget_key(pts_ms)
        elif self._since_ms is not None and self._key_ms is not None and pts_ms >= self._key_ms:
            self._since_ms = None
        return self._since_ms is None or pts_ms - self._since_ms >= self._freeze_ms

    def takes(self, pts_ms: int, is_key: bool) -> bool:
        """Return whether a unit is worth decoding: not while hidden, unless it may end that."""
        return (
            is_key
            or self._since_ms is None
            or self._key_ms is not None
            or (pts_ms - self._since_ms >= self._freeze_ms)
        )

    def _forget_key(self, pts_ms: int) -> None:
        # a keyframe of a later time is already in the decoder and mends this loss too
        if self._key_ms is not None and self._key_ms <= pts_ms:
            self._key_ms = None

"""When a decoder that takes units and gives neither pictures nor errors is given up. Pure."""

# No reordering explains so many units without a picture, for so long.
SILENT_UNITS = 64
SILENT_S = 3.0


class PictureSilence:
    """Counts units without a picture; report every unit, then look at `is_too_long`."""

    def __init__(self) -> None:
        self.units = 0  # decoded since the last picture or error …
        self._alive_s = 0.0  # … and when that was

    def error(self, now_s: float) -> None:
        """A unit could not be decoded: the decoder lives."""
        self.units = 0
        self._alive_s = now_s

    def decoded(self, pictures: int, now_s: float) -> None:
        """A unit went in and so many pictures came out."""
        if pictures or not self.units:
            self._alive_s = now_s
        self.units = 0 if pictures else self.units + 1

    def is_too_long(self, now_s: float) -> bool:
        return self.units >= SILENT_UNITS and now_s - self._alive_s >= SILENT_S

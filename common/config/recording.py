"""What of a template's streams is recorded, and where. Pure values."""

from dataclasses import dataclass
from typing import Final

DEFAULT_ROTATE_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Recording:
    """The recording of an app's streams."""

    directory: str = ""  # "": nothing is recorded
    renditions: tuple[str, ...] = ("source",)
    rotate_s: float = DEFAULT_ROTATE_S  # of stream time in a file
    rotate_bytes: int = 0  # of a file; 0: no limit
    keep_bytes: int = 0  # of all finished files of the app; 0: no limit
    keys: tuple[str, ...] = ()  # of the streams; empty: of all

    def takes(self, key: str) -> bool:
        """Whether a stream of the app is recorded."""
        return bool(self.directory) and (not self.keys or key in self.keys)

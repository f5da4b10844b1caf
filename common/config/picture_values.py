"""The kinds of values that say what pictures are like; the others are in `values.py`. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from common.config.values import Json, Kind, whole
from common.media.units import VideoCodec

MIN_SIDE, MAX_SIDE = 16, 16_384  # H.264's level 6.2 has no longer side
MAX_SEI_UUIDS = 16  # of a template
_UUID = re.compile(r"[0-9A-Fa-f]{8}(-?)(?:[0-9A-Fa-f]{4}\1){3}[0-9A-Fa-f]{12}")
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")


class FrameSize(Kind):
    """Width and height of a picture: "3840x2160"."""

    def read(self, value: Any) -> tuple[int, int]:
        match = _SIZE.fullmatch(value) if isinstance(value, str) else None
        if not match:
            raise ValueError('must be a size, such as "3840x2160"')
        width, height = int(match[1]), int(match[2])
        if not (min(width, height) >= MIN_SIDE and max(width, height) <= MAX_SIDE):
            raise ValueError(f"must be between {self.range().replace(' to ', ' and ')}")
        return width, height

    def write(self, setting: tuple[int, int]) -> str:
        width, height = setting
        return f"{width}x{height}"

    def range(self) -> str:
        return f"{MIN_SIDE}x{MIN_SIDE} to {MAX_SIDE}x{MAX_SIDE}"

    def schema(self) -> Json:
        return {"type": "string", "pattern": whole(_SIZE)}


@dataclass(frozen=True)
class CodecName(Kind):
    """One of some video codecs, by its name."""

    options: Sequence[VideoCodec]

    def read(self, value: Any) -> VideoCodec:
        if value not in self.options or not isinstance(value, str):
            raise ValueError(f"must be one of {self.range()}")
        return VideoCodec(value)

    def write(self, setting: VideoCodec) -> str:
        return setting.value

    def range(self) -> str:
        return ", ".join(f'"{option.value}"' for option in self.options)

    def schema(self) -> Json:
        return {"enum": [option.value for option in self.options]}


class SeiUuid(Kind):
    """The UUID of a kind of user data, with hyphens or without."""

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or not _UUID.fullmatch(value):
            raise ValueError('must be a UUID, such as "086f3693-b7b3-4f2c-9653-21492feee5b8"')
        return str(UUID(value))

    def schema(self) -> Json:
        return {"type": "string", "pattern": whole(_UUID)}

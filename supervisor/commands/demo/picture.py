"""The picture and the tone of `tfarm demo`: pure, numpy arrays out.

A picture is YUV 4:2:0 planes: colour bars, a ramp, a ball that circles once in two seconds, and
the time burnt in large enough to read on the smallest rendition: time of day above, below it
stream time and the frame's number within its second (`00:00:03 F27`). So lag, drops and wrong order
can be seen by eye. The tone beeps higher for a tenth of every second, when the ball is at the top
or bottom: sound and picture can be compared.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.uint8]

TURN_S = 2.0  # the ball's way around
TONE_HZ = 440.0
BEEP_HZ = 880.0
BEEP_S = 0.1
LEVEL = 0.2

# BT.709 limited range Y, U, V of 75 % bars: white, yellow, cyan, green, magenta, red, blue.
_BARS = (
    (180, 128, 128),
    (168, 44, 136),
    (145, 147, 44),
    (133, 63, 52),
    (63, 193, 204),
    (51, 109, 212),
    (28, 212, 120),
)
_WHITE, _BLACK = 235, 16
_BALL = (81, 90, 240)

# 5 x 7 dots, a row a number, the leftmost dot its highest bit.
_FONT: dict[str, Sequence[int]] = {
    "0": (14, 17, 19, 21, 25, 17, 14),
    "1": (4, 12, 4, 4, 4, 4, 14),
    "2": (14, 17, 1, 2, 4, 8, 31),
    "3": (31, 2, 4, 2, 1, 17, 14),
    "4": (2, 6, 10, 18, 31, 2, 2),
    "5": (31, 16, 30, 1, 1, 17, 14),
    "6": (6, 8, 16, 30, 17, 17, 14),
    "7": (31, 1, 2, 4, 8, 8, 8),
    "8": (14, 17, 17, 14, 17, 17, 14),
    "9": (14, 17, 17, 15, 1, 2, 12),
    "F": (31, 16, 16, 30, 16, 16, 16),
    ":": (0, 12, 12, 0, 12, 12, 0),
    " ": (0, 0, 0, 0, 0, 0, 0),
}
_COLUMNS, _ROWS = 6, 9  # of a character's cell, margins included


class DemoPicture:
    """Pictures of one size; each call draws anew."""

    def __init__(self, width: int, height: int, fps: int) -> None:
        """Width and height are even."""
        self.width = width
        self.height = height
        self.fps = fps
        self._background = self._draw_background()
        self._dot = max(2, width // 160)  # of a character, in samples
        self._radius = max(4, height // 14)
        around = np.arange(-self._radius, self._radius)
        self._disc = around[:, None] ** 2 + around[None, :] ** 2 < self._radius**2

    def draw(self, number: int, time_of_day: str) -> tuple[Plane, Plane, Plane]:
        """Frame `number` (from 0): Y, U and V planes."""
        y, u, v = (plane.copy() for plane in self._background)
        self._draw_ball((y, u, v), number)
        whole, frame = divmod(number, self.fps)
        stream_time = f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02} F{frame:02}"
        self._draw_text((y, u, v), time_of_day, self.height * 3 // 10)
        self._draw_text((y, u, v), stream_time, self.height * 6 // 10)
        return y, u, v

    def _draw_background(self) -> tuple[Plane, Plane, Plane]:
        y = np.empty((self.height, self.width), np.uint8)
        u = np.empty((self.height // 2, self.width // 2), np.uint8)
        v = np.empty_like(u)
        for index, colour in enumerate(_BARS):
            left = self.width * index // len(_BARS) // 2
            right = self.width * (index + 1) // len(_BARS) // 2
            y[:, left * 2 : right * 2] = colour[0]
            u[:, left:right] = colour[1]
            v[:, left:right] = colour[2]
        top = self.height * 7 // 8 // 2
        ramp = np.linspace(_BLACK, _WHITE, self.width).astype(np.uint8)
        y[top * 2 :] = ramp
        u[top:] = v[top:] = 128
        return y, u, v

    def _draw_ball(self, planes: tuple[Plane, Plane, Plane], number: int) -> None:
        angle = 2 * math.pi * number / self.fps / TURN_S
        reach_x = self.width // 2 - self._radius - 2
        reach_y = self.height * 7 // 16 - self._radius - 2
        x = self.width // 2 + int(reach_x * math.sin(angle)) - self._radius
        y = self.height * 7 // 16 - int(reach_y * math.cos(angle)) - self._radius
        x, y = max(0, x // 2 * 2), max(0, y // 2 * 2)  # whole chroma samples
        for plane, disc, value in zip(
            planes, (self._disc, self._disc[::2, ::2], self._disc[::2, ::2]), _BALL, strict=True
        ):
            step = 1 if plane is planes[0] else 2
            part = plane[y // step :, x // step :][: disc.shape[0], : disc.shape[1]]
            part[disc[: part.shape[0], : part.shape[1]]] = value

    def _draw_text(self, planes: tuple[Plane, Plane, Plane], text: str, top: int) -> None:
        cells = np.zeros((_ROWS, _COLUMNS * len(text) + 1), bool)
        for index, character in enumerate(text):
            for row, bits in enumerate(_FONT[character]):
                for column in range(5):
                    cells[row + 1, index * _COLUMNS + 1 + column] = bits >> (4 - column) & 1
        dots = np.kron(cells, np.ones((self._dot, self._dot), bool))
        dots = dots[:, : self.width]
        height, width = dots.shape
        left, top = (self.width - width) // 4 * 2, top // 2 * 2
        y, u, v = planes
        y[top : top + height, left : left + width] = np.where(dots, _WHITE, _BLACK)
        for plane in (u, v):
            plane[top // 2 : (top + height) // 2, left // 2 : (left + width) // 2] = 128


def tone(first_sample: int, count: int, rate: int) -> npt.NDArray[np.float32]:
    """So many samples of the tone, one channel, from a position on."""
    at = (first_sample + np.arange(count)) / rate
    hertz = np.where(at % 1.0 < BEEP_S, BEEP_HZ, TONE_HZ)
    return (LEVEL * np.sin(2 * np.pi * hertz * (at % 1.0))).astype(np.float32)

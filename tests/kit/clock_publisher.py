"""A publisher that knows when each picture left, for delays by the number that a picture carries.

It sends a short clip again and again, without a seam: pictures and AAC frames both fit into it
without a rest. So a number comes again only after `CLIP_S`, far beyond any delay.
"""

import itertools
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from common.errors import TfarmError
from common.rtmp.blocking_client import RtmpPublisher
from tests.kit.clients import IO_TIMEOUT_S, FlvTag, _Threaded, flv_tags, send_tag, shifted
from tests.kit.clips import ClipSpec

FPS: Final = 30
CLIP_S: Final = 16  # a multiple of 8/15 s, in which whole pictures and whole AAC frames fit
CLIP_MS: Final = CLIP_S * 1000
PICTURES: Final = CLIP_S * FPS
PULSES: Final = range(0, PICTURES, FPS)  # the pictures at which a pulse of sound begins
HD: Final = ClipSpec(
    seconds=CLIP_S, width=1280, height=720, gop_frames=2 * FPS, b_frames=0, pulses=True,
    bitrate_bps=2_500_000,
)  # fmt: skip
SMALL: Final = HD.but(width=640, height=360, gop_frames=FPS, bitrate_bps=800_000)


def loop_of(tags: list[FlvTag]) -> tuple[list[FlvTag], list[FlvTag]]:
    """The headers of a clip, and what is sent again and again: exactly one clip of each kind."""
    headers = [tag for tag in tags if tag.type == 18 or tag.is_header]
    media = [tag for tag in tags if tag not in headers]
    first = min(tag.dts_ms for tag in media if tag.type == 9)
    inside = [tag for tag in media if first <= tag.dts_ms < first + CLIP_MS]
    return headers, shifted(inside, -first)


class ClockPublisher(_Threaded):
    """Publishes a clip made by `HD` or `SMALL` until `stop`."""

    def __init__(self, url: str, clip: Path) -> None:
        super().__init__()
        self.started = threading.Event()
        self.sent: deque[tuple[int, float]] = deque(maxlen=100_000)  # number, Unix time
        self._peer = RtmpPublisher(url, IO_TIMEOUT_S)
        self._headers, self._loop = loop_of(flv_tags(clip))

    def _run(self) -> None:
        try:
            self._peer.connect()
            self.started.set()
            begin = time.monotonic()
            for tag, number in self._tags():
                wait = begin + tag.dts_ms / 1000 - time.monotonic()
                if wait > 0 and self._stop.wait(wait):
                    break
                send_tag(self._peer, tag)
                if number is not None:
                    self.sent.append((number, time.time()))
        except TfarmError as error:
            self.error = error
        finally:
            self._peer.close()

    def _tags(self) -> Iterator[tuple[FlvTag, int | None]]:
        yield from ((tag, None) for tag in self._headers)
        for turn in itertools.count():
            numbers = itertools.count()
            for tag in shifted(self._loop, turn * CLIP_MS):
                yield tag, next(numbers) if tag.type == 9 else None

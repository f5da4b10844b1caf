"""What viewers can ask for by HTTP: streams of several kinds, and every address of each."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from tests.kit.clips import ClipSpec, make_clip
from tests.kit.farm import Farm
from tests.kit.ffmpeg_commands import ffmpeg_publishes

SMALL: Final = ClipSpec(
    seconds=16, width=320, height=180, gop_frames=60, b_frames=0, bitrate_bps=200_000
)
STREAMS: Final = {
    "plain": SMALL.but(b_frames=2),  # the source has B-frames, the renditions have none
    "film": SMALL.but(fps=Fraction(30000, 1001), audio=False),  # and it has no sound
}
CONFIG: Final = """
[listen]
rtmp = "127.0.0.1:0"
http = "127.0.0.1:0"
[devices]
use_gpus = false
[software]
workers = 1
[worker]
queue = "30s"
adapt = false
[api]
enabled = false
[web]
enabled = true
[webrtc]
enabled = false
[templates.live]
[[templates.live.renditions]]
name = "high"
width = 320
height = 180
bitrate = "300k"
[[templates.live.renditions]]
name = "low"
width = 160
height = 90
bitrate = "100k"
"""


@dataclass(frozen=True)
class Variant:
    """One address of one stream."""

    name: str
    kind: str  # hls, dash, flv
    stream: str
    path: str  # behind APP/KEY

    @property
    def frame_rate(self) -> float:
        """Pictures a second."""
        return float(STREAMS[self.stream].fps)


VARIANTS: Final = (
    Variant("HLS, all renditions", "hls", "plain", "/index.m3u8"),
    Variant("HLS, one rendition", "hls", "plain", "/index.m3u8?rendition=low"),
    Variant("HLS, source with B-frames", "hls", "plain", "/index.m3u8?rendition=source"),
    Variant("HLS, pictures alone", "hls", "plain", "/high/index.m3u8"),
    Variant("HLS, 29.97 fps, no sound", "hls", "film", "/index.m3u8"),
    Variant("DASH, all renditions", "dash", "plain", "/index.mpd"),
    Variant("DASH, one rendition", "dash", "plain", "/index.mpd?rendition=low"),
    Variant("DASH, 29.97 fps, no sound", "dash", "film", "/index.mpd"),
    Variant("HTTP-FLV", "flv", "plain", "/high.flv"),
    Variant("HTTP-FLV, source", "flv", "plain", ".flv"),
    Variant("HTTP-FLV, no sound", "flv", "film", "/high.flv"),
)


@contextmanager
def stage(folder: Path) -> Iterator[str]:
    """Let a farm run with all streams; gives the base of its addresses."""
    with ExitStack() as stack:
        farm = stack.enter_context(Farm(CONFIG))
        for name, spec in STREAMS.items():
            clip = folder / f"{name}.flv"
            make_clip(clip, spec)
            stack.enter_context(ffmpeg_publishes(clip, farm.url(name)))
            farm.wait_stream(name)
        (address,) = farm.status()["listen"]["web"]
        yield f"http://{address}"

"""A clip as one long MP4 file, sample by sample, for what a browser does by itself."""

from fractions import Fraction
from pathlib import Path
from typing import Final

import av

from tests.kit.clock_publisher import CLIP_S, FPS, PICTURES

RATE: Final = 48_000  # of the clip's sound
FRAME: Final = 1024  # samples of an AAC frame
FRAMES: Final = CLIP_S * RATE // FRAME  # of a clip, without a rest


def write_plain_file(clip: Path, path: Path, seconds: float) -> None:
    """Write the clip's pictures and sound, again and again, for at least so long."""
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        tracks = {}
        for stream, count, step, per_s in (
            (source.streams.video[0], PICTURES, 1, FPS),
            (source.streams.audio[0], FRAMES, FRAME, RATE),
        ):
            tracks[stream.index] = (target.add_stream_from_template(stream), count, step, per_s)
        coded: dict[int, list[tuple[bytes, bool]]] = {index: [] for index in tracks}
        for packet in source.demux():
            if packet.dts is not None:
                coded[packet.stream.index].append((bytes(packet), packet.is_keyframe))
        for turn in range(int(seconds // CLIP_S) + 1):
            packets = []
            for index, (out, count, step, per_s) in tracks.items():
                for number, (data, is_key) in enumerate(coded[index][:count], turn * count):
                    packet = av.Packet(data)
                    packet.pts = packet.dts = number * step
                    packet.duration, packet.time_base = step, Fraction(1, per_s)
                    packet.stream, packet.is_keyframe = out, is_key
                    packets.append((Fraction(number * step, per_s), packet))
            for _, packet in sorted(packets, key=lambda timed: timed[0]):
                target.mux(packet)

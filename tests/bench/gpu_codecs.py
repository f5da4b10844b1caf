"""H.265 of 1080p30 on a GPU, 8 bits, 10 bits and HDR: how fast, and how right.

    python -m tests.bench.gpu_codecs [--seconds 4] [--threads 8,12,16]

For each: PyNvVideoCodec's decoders alone, one a thread, which is the ceiling of this run; then the
worker's decoder (with the conversion to 8 bits) and scaler in as many threads, 1080p to 720p, 480p
and 360p. It has to be 90 % of the ceiling. Then the 720p rendition of some pictures against
libavcodec's decoding, scaled (and tone-mapped) in float64: 50 dB, and 45 dB where tones are mapped.
Exits with 1 where one of these does not hold.
"""

import argparse
import sys
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.codecs.h265 import HevcConfig
from common.config.ladder import SourceFormat, Template, fit_ladder
from common.config.settings import DEFAULT_RENDITIONS
from common.media.units import VideoCodec
from tests.bench.gpu_streams import flat_out
from tests.kit.coded_video import CodedSpec, CodedVideo, coded_video, decoded
from tests.kit.scale_reference import psnr, scale_nv12
from tests.kit.tone_reference import sdr_planes
from worker.devices.gpu.decode import to_start_codes
from worker.devices.gpu.device import GpuBackend
from worker.devices.gpu.plan import Fit
from worker.devices.gpu.scale import GpuScaler
from worker.devices.letterbox import rendition_picture
from worker.devices.source import Source, read_source

WIDTH, HEIGHT = 1920, 1080
EIGHT = CodedSpec(
    VideoCodec.H265, WIDTH, HEIGHT, frames=60, gop=60, bitrate_bps=6_000_000, colour=(1, 1, 1)
)
SPECS = {
    "8 bits": (EIGHT, 50.0),
    "10 bits": (replace(EIGHT, pixel_format="yuv420p10le"), 50.0),
    "10 bits PQ": (replace(EIGHT, pixel_format="yuv420p10le", colour=(9, 16, 9)), 45.0),
}
LADDER = fit_ladder(Template("bench", DEFAULT_RENDITIONS), SourceFormat(WIDTH, HEIGHT))
WANTED = tuple(range(len(LADDER.renditions)))
SHARE = 0.90
CHECKED = 8  # pictures


class RawStream:
    """PyNvVideoCodec's decoder and nothing else, fed with the clip over and over."""

    def __init__(self, device: GpuBackend, made: CodedVideo) -> None:
        import PyNvVideoCodec as nvc

        from worker.devices.gpu.context import Stream

        device.context.enter()
        self._stream = Stream()
        self._decoder: Any = nvc.CreateDecoder(
            gpuid=0,
            codec=nvc.cudaVideoCodec.HEVC,
            cudacontext=device.context.pointer,
            cudastream=self._stream.pointer,
            usedevicememory=True,
            latency=nvc.DisplayDecodeLatencyType.LOW,
        )
        self._packet, self._flags = nvc.PacketData(), nvc.VideoPacketFlag
        config = HevcConfig.parse(made.record)
        sets = b"".join(b"\0\0\0\1" + nal for nal in (*config.vps, *config.sps, *config.pps))
        units = [bytes(to_start_codes(unit.data, 4, VideoCodec.H265)[0]) for unit in made.units]
        units[0] = sets + units[0]
        self._units = [np.frombuffer(unit, np.uint8) for unit in units]
        self._next = 0

    def step(self) -> int:
        unit = self._units[self._next % len(self._units)]
        self._next += 1
        packet = self._packet
        packet.bsl_data, packet.bsl = unit.ctypes.data, len(unit)
        packet.pts, packet.decode_flag = self._next, self._flags.ENDOFPICTURE
        return len(self._decoder.Decode(packet))

    def close(self) -> None:
        self._stream.synchronize()
        self._decoder = None


class WorkerStream:
    """The worker's decoder and scaler."""

    def __init__(self, device: GpuBackend, made: CodedVideo, source: Source) -> None:
        self._units = made.units
        self._next = 0
        self.decoder = device.open_decoder(source.config, source.pictures)
        self.scaler = GpuScaler(device.context, LADDER, source.pictures)

    def step(self) -> int:
        unit = self._units[self._next % len(self._units)]
        pts_ms = self._next * 33
        self._next += 1
        pictures = self.decoder.decode(unit.data, pts_ms, pts_ms)
        for picture in pictures:
            self.scaler.scale(picture, WANTED)
        return len(pictures)

    def close(self) -> None:
        self.scaler.close()
        self.decoder.close()


def reference(frame: Any, *, is_mapped: bool) -> NDArray[np.float64]:
    """The 720p rendition of a decoded frame, as NV12 in float64."""
    planes = []
    for plane in frame.planes:
        wide = frame.format.components[0].bits > 8
        samples = np.frombuffer(memoryview(plane), np.uint16 if wide else np.uint8)
        rows = samples.reshape(plane.height, -1)[:, : plane.width].astype(np.float64)
        planes.append(rows / 4 if wide and not is_mapped else rows)
    luma, blue, red = planes
    if is_mapped:
        luma, blue, red = sdr_planes((luma, blue, red), 16)
    picture = np.empty((HEIGHT * 3 // 2, WIDTH))
    picture[:HEIGHT] = luma
    picture[HEIGHT:, 0::2], picture[HEIGHT:, 1::2] = blue, red
    rendition = LADDER.renditions[0]
    fit = Fit.of(rendition.width, rendition.height, rendition_picture(rendition))
    return scale_nv12(picture, HEIGHT, fit)


def worst_psnr(device: GpuBackend, made: CodedVideo, source: Source, *, is_mapped: bool) -> float:
    """Of the 720p rendition of the first pictures."""
    right = {frame.pts: frame for frame in decoded(made)[:CHECKED]}
    stream = WorkerStream(device, made, source)
    found: list[float] = []
    for unit in made.units[:CHECKED]:
        for picture in stream.decoder.decode(unit.data, unit.dts_ms, unit.pts_ms):
            surface = stream.scaler.scale(picture, [0])[0]
            picture.stream.synchronize()
            rendition = LADDER.renditions[0]
            frame: Any = surface.frame
            rows = np.asarray(frame.array.get())[: rendition.height * 3 // 2, : rendition.width]
            wanted = reference(right[picture.pts_ms], is_mapped=is_mapped)
            found.append(psnr(rows, wanted))
            del surface, frame
    stream.close()
    return min(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--threads", default="8,12,16")
    arguments = parser.parse_args()
    device = GpuBackend("", allow_nvenc=False)
    print(f"{device.info.label}: {', '.join(device.info.notes)}")
    is_right = True
    for name, (spec, least_db) in SPECS.items():
        made = coded_video(spec)
        source = read_source(made.record, spec.codec)
        ceiling = best = 0.0
        for threads in map(int, arguments.threads.split(",")):
            raw, raw_cpu = flat_out(partial(RawStream, device, made), threads, arguments.seconds)
            ours, cpu = flat_out(
                partial(WorkerStream, device, made, source), threads, arguments.seconds
            )
            ceiling, best = max(ceiling, raw), max(best, ours)
            print(
                f"{name}, {threads:2} threads: decode {raw:5.0f} frames/s ({raw_cpu:4.0f} us CPU), "
                f"decode and scale {ours:5.0f} ({cpu:4.0f} us)"
            )
        found_db = worst_psnr(device, made, source, is_mapped=spec.colour[1] == 16)
        holds = best >= SHARE * ceiling and found_db >= least_db
        is_right = is_right and holds
        print(
            f"{name}: {best:.0f} of {ceiling:.0f} frames/s, {best / ceiling:.0%} (90 %); "
            f"720p {found_db:.1f} dB ({least_db:.0f}): {'ok' if holds else 'NOT OK'}"
        )
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())

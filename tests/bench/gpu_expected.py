"""What the scaler makes of a clip, to be compared with what came to the simulated encoders.

The CRCs of every rendition of every picture are made in a process of its own that sees one GPU, by
the farm's own decoder and scaler but down through pinned memory, as for hybrid: no part of the way
to NVENC is in it. The simulator's log has the CRCs of what it copied out of device memory.
"""

import multiprocessing
import os
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from common.config.ladder import SourceFormat, Template, fit_ladder
from tests.bench.gpu_clip import FPS, Clip

SECONDS = 40.0  # at most: interpreter, CUDA, kernels, a few hundred pictures
Crcs = tuple[int, int]  # of luma and chroma without padding
Expected = Mapping[tuple[int, int], Sequence[Crcs]]  # by size, then by picture of the clip


def scaled_crcs(clip: Clip, template: Template, gpu: str) -> Expected:
    """Of one way through the clip, by NVDEC and the scale kernel of that GPU."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(_scale, clip, template, gpu).result(SECONDS)


def _scale(clip: Clip, template: Template, gpu: str) -> Expected:
    os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # before CUDA
    from worker.devices.gpu.device import GpuBackend
    from worker.devices.gpu.memory import HostFrame

    backend = GpuBackend(gpu, allow_nvenc=False)
    ladder = fit_ladder(template, SourceFormat(clip.width, clip.height))
    decoder = backend.open_decoder(clip.config, clip.sps)
    scaler = backend.open_scaler(ladder, clip.sps)
    found: dict[tuple[int, int], list[Crcs]] = defaultdict(list)
    bodies = [tag.body for tag in clip.tags if tag.type == 9 and not tag.is_header]
    for number, body in enumerate(bodies):
        at_ms = number * 1000 // FPS
        (picture,) = decoder.decode(body[5:], at_ms, at_ms)
        for surface in scaler.scale(picture, range(len(ladder.renditions))):
            surface.prepare()
            frame = surface.frame
            assert isinstance(frame, HostFrame)
            planes = frame.array[:, : frame.width]
            luma, chroma = planes[: frame.height], planes[frame.height :]
            crcs = zlib.crc32(luma.tobytes()), zlib.crc32(chroma.tobytes())
            found[frame.width, frame.height].append(crcs)
    decoder.close()
    scaler.close()
    return dict(found)


@dataclass(frozen=True)
class Matched:
    """What the encoders got, against the scaler's pictures."""

    sessions: int
    pictures: int
    wrong: Sequence[str]


def match_pictures(
    rows: Sequence[Mapping[str, Any]],
    expected: Expected,
    sent: Mapping[str, Sequence[int]],
) -> Matched:
    """Find each encoder's stream; `sent` has each publisher's DTS so far, from the clip's start on.

    The first picture of an encoder is the black one of its opening. An encoder that got nothing
    else is left out.
    """
    sizes: dict[tuple[int, int], tuple[int, int]] = {}
    pictures: dict[tuple[int, int], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        session = (row.get("pid", 0), row.get("session", 0))
        if row["call"] == "InitializeEncoder":
            sizes[session] = (row["width"], row["height"])
        elif row["call"] == "Picture" and row["frame"] > 0:
            pictures[session].append(row)
    places = {key: {at: index for index, at in enumerate(stamps)} for key, stamps in sent.items()}
    wrong: list[str] = []
    compared = 0
    last = max((max(stamps, default=0) for stamps in sent.values()), default=0)
    for session, coded in pictures.items():
        width, height = sizes[session]
        got = [row for row in coded if row["ts"] <= last]  # later ones: sent unseen
        crcs = expected[width, height]
        candidates = []
        for key, place in places.items():
            bad = [
                row["ts"]
                for row in got
                if row["ts"] not in place
                or (row["luma_crc"], row["chroma_crc"]) != crcs[place[row["ts"]] % len(crcs)]
            ]
            candidates.append((len(bad), key, bad))
        count, key, bad = min(candidates)
        if count:
            wrong.append(f"{width}x{height} of {key}: {count} of {len(got)}, at {bad[:4]} ms")
        compared += len(got)
    return Matched(len(pictures), compared, wrong)

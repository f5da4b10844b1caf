"""NVENC through its simulator (or a real one), and x264 on frames from the GPU."""

import ctypes
import json
import os
import subprocess
import sys
import threading
import zlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from common.codecs.h264 import AvcConfig, parse_sps
from common.config.ladder import SourceFormat, Template, fit_ladder
from common.config.settings import DEFAULT_RENDITIONS
from common.errors import EncodeFailed
from common.media.pictures import PictureFormat
from tests.kit.gpu_units import Nv12, code, decode_on_cpu, moving_picture
from tests.kit.scale_reference import psnr
from tests.worker.devices.gpu.test_device_scale import download, upload
from worker.devices.backend import EncodedUnit
from worker.devices.gpu.context import Stream
from worker.devices.gpu.device import PLAIN_SPS, GpuBackend
from worker.devices.gpu.encode import NvencEncoder
from worker.devices.gpu.memory import GpuSurface

pytestmark = pytest.mark.gpu

LADDER = fit_ladder(Template("live", DEFAULT_RENDITIONS), SourceFormat(1920, 1080))
SPS = replace(PLAIN_SPS, width=1920, height=1080)
FPS = Fraction(30)


def is_simulated() -> bool:
    try:
        return hasattr(ctypes.CDLL("libnvidia-encode.so.1"), "nvenc_sim_id")
    except OSError:
        return False


simulator = pytest.mark.skipif(not is_simulated(), reason="needs the NVENC simulator")


@pytest.fixture
def log(sim_log: Path) -> "SimLog":
    sim_log.write_text("")
    return SimLog(sim_log)


class SimLog:
    """What reached the simulated driver."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def rows(self, *calls: str) -> list[dict[str, Any]]:
        rows = [json.loads(line) for line in self._path.read_text().splitlines()]
        return [row for row in rows if row["call"] in calls]


def crcs(frame: Nv12, height: int) -> tuple[int, int]:
    return zlib.crc32(frame[:height].tobytes()), zlib.crc32(frame[height:].tobytes())


def colours(sps: PictureFormat) -> tuple[bool, int, int, int]:
    """What a player needs to show the right colours."""
    return sps.full_range, sps.colour_primaries, sps.colour_transfer, sps.colour_matrix


def test_every_packet_comes_out_of_its_own_call(device: GpuBackend) -> None:
    rendition = replace(LADDER.renditions[0], bitrate_bps=8_000_000)
    scaler = device.open_scaler(LADDER, SPS)
    encoder = device.open_encoder(rendition, SPS, FPS)
    stream = Stream()
    units: list[EncodedUnit] = []
    sources: list[Nv12] = []
    for index in range(40):
        picture = replace(
            upload(moving_picture(index, 1920, 1080), stream), pts_ms=5_000_000_000 + 33 * index
        )
        (surface,) = scaler.scale(picture, [0])
        sources.append(download(surface))
        made = encoder.encode(surface, force_idr=index in (0, 17))
        assert len(made) == 1
        units += made
    assert encoder.flush() == []
    assert [unit.pts_ms for unit in units] == [5_000_000_000 + 33 * index for index in range(40)]
    assert [index for index, unit in enumerate(units) if unit.is_idr] == [0, 17]
    shown = list(decode_on_cpu(encoder.config, ((unit.data, unit.pts_ms) for unit in units)))
    assert [pts for pts, _ in shown] == [unit.pts_ms for unit in units]
    assert min(psnr(a, b) for (_, a), b in zip(shown, sources, strict=True)) > 30
    encoder.close()
    scaler.close()


def test_the_parameter_sets_are_known_before_the_first_picture(device: GpuBackend) -> None:
    full = replace(SPS, full_range=True, colour_primaries=5, colour_transfer=6, colour_matrix=6)
    for rendition in LADDER.renditions:
        for sps in (SPS, full):
            encoder = device.open_encoder(rendition, sps, FPS)
            assert isinstance(encoder.config, AvcConfig)
            info = parse_sps(encoder.config.sps[0])
            assert (info.width, info.height) == (rendition.width, rendition.height)
            assert colours(info) == colours(sps)
            assert AvcConfig.parse(encoder.config.encode()) == encoder.config
            encoder.close()


@simulator
def test_the_driver_gets_the_scalers_pixels_without_a_copy(device: GpuBackend, log: SimLog) -> None:
    """Decoder, kernel and encoders on streams of their own, others keeping the GPU busy."""
    import cupy

    coded = code(1920, 1080, 40)
    decoder = device.open_decoder(coded.config, coded.sps)
    scaler = device.open_scaler(LADDER, coded.sps)
    encoders = [device.open_encoder(rendition, coded.sps, FPS) for rendition in LADDER.renditions]
    log_start = len(log.rows("Picture"))
    load = Stream()
    with load.cupy:
        big = cupy.random.random((6000, 6000), dtype=cupy.float32)
    wanted: dict[tuple[int, int], list[tuple[int, int]]] = {}
    held: list[list[GpuSurface]] = []
    for unit in coded.units:
        with load.cupy:
            for _ in range(4):
                cupy.sqrt(big, out=big)
        (picture,) = decoder.decode(unit.data, unit.dts_ms, unit.pts_ms)
        surfaces = scaler.scale(picture, range(3))
        for rendition, encoder, surface in zip(LADDER.renditions, encoders, surfaces, strict=True):
            assert len(encoder.encode(surface, force_idr=False)) == 1
            made = crcs(download(surface), rendition.height)
            wanted.setdefault((rendition.width, rendition.height), []).append(made)
        held = [*held[-1:], surfaces]  # frames alternate, as they do in a session
    rows = log.rows("Picture")[log_start:]
    sessions: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        sessions.setdefault(row["session"], []).append(row)
    seen = [[(r["luma_crc"], r["chroma_crc"]) for r in rows] for rows in sessions.values()]
    assert sorted(seen) == sorted(wanted.values())
    registered = log.rows("RegisterResource")
    assert len(registered) <= 3 * 6, "a handful of stable frames an encoder"
    assert not [row for row in rows if row.get("status") not in (None, "SUCCESS")]
    held.clear()
    for encoder in encoders:
        encoder.close()
    del surfaces, surface
    scaler.close()
    decoder.close()
    assert not any(any(row["left"].values()) for row in log.rows("DestroyEncoder"))


@simulator
def test_the_driver_is_told_what_the_template_says(device: GpuBackend, log: SimLog) -> None:
    rendition = replace(LADDER.renditions[1], profile="high", preset="p5", bitrate_bps=1_234_000)
    encoder = device.open_encoder(rendition, SPS, Fraction(25))
    (told,) = log.rows("InitializeEncoder")
    assert (told["width"], told["height"], told["fps"]) == (854, 480, "25/1")
    assert (told["rc"], told["bitrate"], told["max_bitrate"]) == ("cbr", 1_234_000, 1_234_000)
    assert told["vbv"] == 1_234_000
    assert told["gop"] == 100
    assert told["preset"].lower() == "p5"
    assert "high" in told["profile"].lower()
    encoder.close()


@simulator
@pytest.mark.parametrize(
    ("full_range", "code_points"), [(False, (1, 1, 1)), (True, (5, 6, 6)), (False, (6, 6, 5))]
)
def test_the_driver_is_told_the_sources_colours(
    device: GpuBackend, log: SimLog, full_range: bool, code_points: tuple[int, int, int]
) -> None:
    primaries, transfer, matrix = code_points
    sps = replace(
        SPS,
        full_range=full_range,
        colour_primaries=primaries,
        colour_transfer=transfer,
        colour_matrix=matrix,
    )
    device.open_encoder(LADDER.renditions[1], sps, FPS).close()
    (told,) = log.rows("InitializeEncoder")
    wanted = {
        "full_range": int(full_range),
        "colour": 1,
        "primaries": primaries,
        "transfer": transfer,
        "matrix": matrix,
    }
    assert {name: told["vui"][name] for name in wanted} == wanted


@simulator
@pytest.mark.parametrize("status", ["21", "10"])
def test_the_session_cap_is_called_that(
    device: GpuBackend, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NVENC_SIM_MAX_SESSIONS", "2")
    monkeypatch.setenv("NVENC_SIM_MAX_SESSIONS_STATUS", status)
    monkeypatch.setenv("NVENC_SIM_SLOT_DIR", str(tmp_path))
    encoders = [device.open_encoder(LADDER.renditions[2], SPS, FPS) for _ in range(2)]
    with pytest.raises(EncodeFailed, match="encoder session cap of the driver reached"):
        device.open_encoder(LADDER.renditions[2], SPS, FPS)
    encoders.pop().close()
    device.open_encoder(LADDER.renditions[2], SPS, FPS).close()
    encoders.pop().close()


@simulator
def test_a_failing_session_fails_alone(device: GpuBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    scaler = device.open_scaler(LADDER, SPS)
    stream = Stream()
    good = device.open_encoder(LADDER.renditions[2], SPS, FPS)
    monkeypatch.setenv("NVENC_SIM_FAIL_AT", "frame:4")
    bad = device.open_encoder(LADDER.renditions[2], SPS, FPS)
    monkeypatch.delenv("NVENC_SIM_FAIL_AT")
    failures = []
    for index in range(8):
        picture = upload(moving_picture(index, 1920, 1080), stream)
        (surface,) = scaler.scale(picture, [2])
        assert len(good.encode(surface, force_idr=False)) == 1
        try:
            bad.encode(surface, force_idr=False)
        except EncodeFailed as error:
            failures.append(str(error))
        del surface
    assert failures
    assert all("360p" in failure for failure in failures)
    for encoder in (good, bad):
        encoder.close()
    scaler.close()


@simulator
def test_sessions_in_many_threads_do_not_mix(device: GpuBackend, log: SimLog) -> None:
    failures: list[BaseException] = []
    right: list[list[tuple[int, int]]] = []

    def session(seed: int) -> None:
        try:
            coded = code(
                640, 360, 20, pictures=(moving_picture(seed * 50 + i, 640, 360) for i in range(20))
            )
            ladder = fit_ladder(Template("t", DEFAULT_RENDITIONS[2:]), SourceFormat(640, 360))
            decoder = device.open_decoder(coded.config, coded.sps)
            scaler = device.open_scaler(ladder, coded.sps)
            encoder = device.open_encoder(ladder.renditions[0], coded.sps, FPS)
            made = []
            for unit in coded.units:
                for picture in decoder.decode(unit.data, unit.dts_ms, unit.pts_ms):
                    (surface,) = scaler.scale(picture, [0])
                    assert len(encoder.encode(surface, force_idr=False)) == 1
                    made.append(crcs(download(surface), 360))
            right.append(made)
            encoder.close()
            scaler.close()
            decoder.close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=session, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    sessions: dict[int, list[tuple[int, int]]] = {}
    for row in log.rows("Picture"):
        sessions.setdefault(row["session"], []).append((row["luma_crc"], row["chroma_crc"]))
    seen = [pictures[1:] for pictures in sessions.values()]  # the first is the opening's black
    assert sorted(seen) == sorted(right)


def test_hybrid_encodes_the_renditions_on_the_host(hybrid: GpuBackend) -> None:
    scaler = hybrid.open_scaler(LADDER, SPS)
    encoders = [hybrid.open_encoder(rendition, SPS, FPS) for rendition in LADDER.renditions]
    assert not any(isinstance(encoder, NvencEncoder) for encoder in encoders)
    stream = Stream()
    units: list[list[EncodedUnit]] = [[], [], []]
    sources: list[list[Nv12]] = [[], [], []]
    for index in range(12):
        picture = replace(
            upload(moving_picture(index, 1920, 1080), stream), pts_ms=1000 + 33 * index
        )
        for slot, surface in enumerate(scaler.scale(picture, [0, 1, 2])):
            surface.prepare()
            sources[slot].append(download(surface))
            made = encoders[slot].encode(surface, force_idr=index == 0)
            assert len(made) == 1
            units[slot] += made
        del surface
    for slot, encoder in enumerate(encoders):
        shown = decode_on_cpu(encoder.config, ((u.data, u.pts_ms) for u in units[slot]))
        quality = [psnr(a, b) for (_, a), b in zip(shown, sources[slot], strict=True)]
        assert min(quality) > 30
        encoder.close()
    scaler.close()


def _probe(device: GpuBackend, **environment: str) -> dict[str, Any]:
    root = str(Path(__file__).parents[4])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
    done = subprocess.run(
        [sys.executable, "-P", "-m", "worker.bench.probe", "--device", device.context.uuid],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_the_probe_reports_the_device(device: GpuBackend) -> None:
    report = _probe(device)
    assert report["uuid"] == device.context.uuid
    assert report["used_as"] == device.info.path.value
    assert report["decodes"]["H.264"]["max_width"] >= 4096
    assert report["round_fps"] > 10


@simulator
def test_a_gpu_without_an_encoder_is_found_to_be_hybrid(device: GpuBackend) -> None:
    """The real driver of an H100 or H200 refuses; the simulator's folder is left out."""
    paths = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    without = [path for path in paths if not (Path(path) / "libnvidia-encode.so.1").exists()]
    report = _probe(device, LD_LIBRARY_PATH=os.pathsep.join(without))
    if report["used_as"] == "gpu-only":
        pytest.skip("this GPU has an encoder")
    assert report["used_as"] == "hybrid"
    assert any("encoder" in note for note in report["notes"])
    assert report["round_fps"] > 10

"""From measurements to the file that a configuration includes."""

import tomllib
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.config import load as config
from common.config.ladder import Pipeline, SourceFormat, Template
from common.config.settings import DEFAULT_RENDITIONS, Calibration, Settings
from supervisor.placement.calibration import (
    COLUMNS,
    Calibrated,
    Measured,
    as_calibration,
    busy_devices,
    combine,
    rescaled,
    rows,
    to_toml,
    without_template,
)
from supervisor.placement.cost import Resource, amounts, stream_cost

LIVE = Template("live", DEFAULT_RENDITIONS)
HD = SourceFormat(1920, 1080, fps=Fraction(30))


def measured(
    path: str = "gpu-only", streams: int = 90, device: str = "GPU-a", **trial: Any
) -> Measured:
    values: dict[str, Any] = {
        "streams": streams,
        "p99_ms": 21.0,
        "decode": 0.9,
        "scale": 0.18,
        "encode": 0.45,
        "memory_bytes": streams * 100 * 1024**2,
        "cores": 2.7,
    }
    result = {
        "path": path,
        "label": "x",
        "source": [1920, 1080, 30],
        "host_cores": 4,
        "trial": values | trial,
    }
    return Measured(device, "live", result)


def entry(item: Measured) -> Calibration:
    found = as_calibration(item, LIVE)
    assert found is not None
    return found


def test_what_all_streams_took_is_shared_among_them() -> None:
    found = entry(measured())
    assert (found.streams, found.source, found.path) == (90, (1920, 1080, 30), Pipeline.GPU_ONLY)
    assert (found.decode, found.scale, found.encode) == pytest.approx((0.01, 0.002, 0.005))
    assert found.memory_bytes == 100 * 1024**2
    assert found.cores == pytest.approx(3.0)
    assert found.units == pytest.approx(stream_cost(LIVE, HD).total)


def test_a_cost_by_hand_does_not_bend_the_measurement() -> None:
    by_hand = as_calibration(measured(), replace(LIVE, cost=1.0))
    assert by_hand is not None
    assert by_hand.units == entry(measured()).units


def test_software_shares_are_of_the_hosts_cores_and_hybrid_has_no_encoder() -> None:
    software = entry(measured("software", 10, "cpu", decode=1.0, scale=1.0, encode=2.0))
    assert (software.decode, software.encode) == pytest.approx((0.025, 0.05))
    assert entry(measured("hybrid")).encode == 0.0


def test_a_device_that_kept_no_stream_has_no_entry() -> None:
    none = measured()
    none.result["trial"] = None
    assert as_calibration(none, LIVE) is None
    assert none.streams == 0


def test_the_dearest_template_sets_the_capacity_and_each_load_fills_it() -> None:
    cheap = entry(measured(streams=90))
    dear = replace(cheap, template="tv", streams=30)
    found = combine([cheap, dear], [])
    capacity = found.capacity["GPU-a"]
    assert capacity == pytest.approx(30 * cheap.units, abs=0.01)
    for item in found.entries:
        assert item.load * item.streams <= capacity + 1e-9
        assert item.load * (item.streams + 1) > capacity


def test_new_measurements_replace_those_of_the_same_device_and_template_alone() -> None:
    old = [entry(measured(streams=10)), entry(measured(streams=20, device="GPU-b"))]
    found = combine([entry(measured(streams=40))], old)
    assert {e.device: e.streams for e in found.entries} == {"GPU-a": 40, "GPU-b": 20}
    assert set(found.capacity) == {"GPU-a", "GPU-b"}


def test_a_hybrid_gpus_capacity_is_of_decoding() -> None:
    hybrid = entry(measured("hybrid", 90))
    capacity = combine([hybrid], []).capacity["GPU-a"]
    assert capacity == pytest.approx(90 * stream_cost(LIVE, HD).decode, abs=0.01)


def test_cores_are_told_in_the_unit_of_the_measured_capacity() -> None:
    as_measured = entry(measured())
    (double,) = rescaled([as_measured], 400.0, 800.0)
    assert double.cores == pytest.approx(2 * as_measured.cores)
    assert rescaled([as_measured], 0.0, 800.0) == (as_measured,)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 5000),
    st.floats(0.0, 1.0),
    st.sampled_from(["gpu-only", "hybrid", "software"]),
    st.integers(0, 2**36),
)
def test_the_file_says_what_was_measured_and_gives_room_for_that_many(
    streams: int, share: float, path: str, memory: int
) -> None:
    device = "cpu" if path == "software" else "GPU-a"
    item = entry(measured(path, streams, device, decode=share, memory_bytes=memory))
    found = combine([item], [])
    text = to_toml(found, ["by a test"])
    document = tomllib.loads(text)
    read = config.parse(document)
    (back,) = read.calibration
    assert back.decode == pytest.approx(item.decode, abs=1e-6)
    assert (back.streams, back.path, back.memory_bytes) == (
        streams,
        Pipeline(path),
        item.memory_bytes,
    )
    limit = read.software.capacity if path == "software" else dict(read.devices.capacity)[device]
    assert limit is not None
    resource = Resource.CORES if path == "software" else Resource.LOAD
    taken = amounts(stream_cost(LIVE, HD), Pipeline(path), back)[resource]
    assert streams * taken <= limit + 1e-9
    assert (streams + 1) * taken > limit or limit < 1e-3


def test_the_table_has_a_row_for_each_and_says_why_there_is_none() -> None:
    failed = Measured("GPU-b", "live", {}, "cuInit: no device")
    none = measured(device="cpu", path="software")
    none.result["trial"] = None
    table = rows([measured(), failed, none], {"live": LIVE})
    assert all(len(row) == len(COLUMNS) for row in table)
    assert table[0][3:10] == ["90", "21.0", "1.00", "0.20", "0.50", "100", "0.030"]
    assert table[1][-1] == "cuInit: no device"
    assert table[2][-1] == "not even one stream keeps real time"


def test_a_farm_at_work_on_the_device_is_in_the_way() -> None:
    status = {
        "devices": [
            {"name": "cpu:0", "device": "cpu:0", "path": "software", "streams": 0},
            {"name": "GPU-a", "device": "GPU-a", "path": "hybrid", "streams": 2},
            {"name": "GPU-b", "device": "GPU-b", "path": "gpu-only", "streams": 3},
        ]
    }
    assert busy_devices(status, "GPU-a") == ["2 streams run on GPU-a"]
    assert busy_devices(status, "cpu") == ["2 streams run on GPU-a"]  # it encodes on the cores
    status["devices"][1]["streams"] = 0
    assert busy_devices(status, "cpu") == []
    assert busy_devices(status, "GPU-b") == ["3 streams run on GPU-b"]


def test_an_empty_file_is_valid_too() -> None:
    assert config.parse(tomllib.loads(to_toml(Calibrated((), {}), ["nothing"]))).calibration == ()


def test_a_measurement_without_its_template_is_named() -> None:
    old = replace(entry(measured()), template="gone")
    settings = Settings(calibration=(entry(measured()), old))
    assert [str(fault) for fault in without_template(settings)] == [
        'calibration[1].template: there is no template "gone"'
    ]

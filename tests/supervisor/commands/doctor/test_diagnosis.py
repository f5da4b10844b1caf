"""What a doctor concludes."""

from dataclasses import replace
from typing import Any

import pytest

from common.config.ladder import Pipeline
from supervisor.commands.doctor.diagnosis import (
    DeviceFinding,
    Findings,
    advice,
    cuda_text,
    document,
    extra_for,
    text,
    why,
)

CPU_REPORT = {
    "used_as": "software",
    "notes": [],
    "memory_free": 1 << 30,
    "memory_total": 2 << 30,
    "round_fps": 37.2,
    "versions": {"PyAV": "18.1.0", "libx264": "165"},
}
GPU_REPORT: dict[str, Any] = {
    "used_as": "gpu-only",
    "notes": ["2 NVDEC engines", "NVENC encodes"],
    "memory_free": 22 << 30,
    "memory_total": 24 << 30,
    "round_fps": 512.0,
    "decodes": {
        "H.264": {"is_supported": True, "max_width": 4096, "max_height": 4096},
        "AV1": {"is_supported": False, "max_width": 0, "max_height": 0},
    },
    "decode_engines": 2,
    "cuda_driver": "13.0",
    "compute_capability": "8.9",
    "packages": {"av": "18.1.0"},
    "sessions_free": 8,
    "are_sessions_capped": True,
}
CPU = DeviceFinding("cpu", "2 cores, libx264", report=CPU_REPORT)
GPU = DeviceFinding("GPU-a", "NVIDIA L4", "00000000:65:00.0", report=GPU_REPORT)
HOST = Findings("0.1.0", "3.11.7", 2, "", 0, "no NVML", (), (), True, (CPU,))
GPU_HOST = replace(HOST, driver="580.1", cuda=13000, driver_problem="", devices=(CPU, GPU))


def test_a_host_with_cores_alone_is_usable_and_lacks_nothing() -> None:
    assert HOST.is_usable
    assert list(advice(HOST)) == []
    said = text(HOST)
    assert "used as   software: libavcodec, libswscale and libx264" in said
    assert "NVIDIA driver: none (no NVML)" in said
    assert said.endswith("This host can run tfarm.")


def test_it_says_how_many_streams_a_device_takes() -> None:
    apps = {"live": 3, "cams": 1}
    host = replace(HOST, devices=(replace(CPU, streams=apps),))
    said = text(host)
    words = 'about 3 streams of 1080p30 in "live", or 1 stream of 1080p30 in "cams"\n'
    assert words in said
    assert document(host)["devices"][0]["streams_1080p30"] == apps
    assert "round" not in said


@pytest.mark.parametrize(("fps", "is_slow"), [(60.0, False), (41.0, False), (18.0, True)])
def test_cores_that_are_slower_than_tfarm_counts_on_are_told_so(fps: float, is_slow: bool) -> None:
    host = replace(HOST, devices=(replace(CPU, report=CPU_REPORT | {"round_fps": fps}),))
    said = text(host)
    assert f"{fps:.0f} frames/s of 1080p" in said
    assert ("tfarm counts on 53" in said) is is_slow
    assert ("set software.capacity = 67" in said) is is_slow


def test_each_gpu_has_one_line_that_says_what_it_is_used_as_and_why() -> None:
    said = text(GPU_HOST)
    assert "used as   gpu-only: decodes, scales and encodes on the GPU; 2 NVDEC engines" in said
    assert "512 frames/s" in said
    assert "decodes H.264 4096x4096\n" in said  # what it cannot decode is not listed
    assert "the driver opens 8 sessions and no more" in said
    assert "CUDA 13.0" in said


def test_a_gpu_without_nvenc_is_hybrid_and_that_is_no_error() -> None:
    notes = ["7 NVDEC engines", "x264 on the host encodes: this GPU has no H.264 encoder"]
    report = GPU_REPORT | {"used_as": "hybrid", "notes": notes, "sessions_free": None}
    hybrid = replace(GPU_HOST, devices=(CPU, replace(GPU, report=report)))
    assert hybrid.devices[1].used_as is Pipeline.HYBRID
    assert "no H.264 encoder" in why(hybrid.devices[1])
    assert "NVENC     none" in text(hybrid)
    assert list(advice(hybrid)) == []


@pytest.mark.parametrize(
    ("count", "capped", "said"),
    [
        (24, False, "24 sessions opened beside one another, no cap met"),
        (None, False, "not counted while a farm runs"),
    ],
)
def test_sessions_that_met_no_cap_or_were_not_counted_are_told_so(
    count: int | None, capped: bool, said: str
) -> None:
    report = GPU_REPORT | {"sessions_free": count, "are_sessions_capped": capped}
    assert said in text(replace(GPU_HOST, devices=(replace(GPU, report=report),)))


def test_a_gpu_whose_sessions_others_hold_is_used_and_says_that() -> None:
    cap = "720p: encoder session cap of the driver reached"
    report = GPU_REPORT | {"round_fps": None, "round_problem": cap, "sessions_free": 0}
    said = text(replace(GPU_HOST, devices=(replace(GPU, report=report),)))
    assert "used as   gpu-only" in said
    assert f"speed     not measured: {cap}" in said
    assert "other programs hold all sessions of the driver now" in said


def test_what_else_than_a_cap_ends_the_count_of_sessions_is_not_called_a_cap() -> None:
    problem = "test: out of device memory"
    report = GPU_REPORT | {"are_sessions_capped": False, "sessions_problem": problem}
    said = text(replace(GPU_HOST, devices=(replace(GPU, report=report),)))
    assert f"8 sessions opened, then: {problem}" in said
    assert "no more" not in said
    assert "no cap met" not in said


def test_a_gpu_that_failed_leaves_the_cores_usable() -> None:
    broken = replace(GPU, report={}, problem="cuInit: CUDA_ERROR_NO_DEVICE")
    found = replace(GPU_HOST, devices=(CPU, broken))
    assert found.is_usable
    assert "not used: cuInit" in text(found)
    assert document(found)["devices"][1]["used_as"] is None


def test_nothing_usable_is_said() -> None:
    found = replace(HOST, devices=(replace(CPU, report={}, problem="this FFmpeg lacks a codec"),))
    assert not found.is_usable
    assert text(found).endswith("This host cannot run tfarm.")
    assert "reinstall av" in "".join(advice(found))


def test_an_excluded_gpu_is_left_alone_for_that_reason() -> None:
    left = replace(GPU, report={}, unfit_by="devices.exclude")
    assert left.used_as is None
    assert why(left) == "left alone: devices.exclude"


@pytest.mark.parametrize(
    ("cuda", "extra"),
    [(0, None), (11080, None), (12000, "gpu12"), (12090, "gpu12"), (13010, "gpu13")],
)
def test_the_drivers_cuda_picks_the_extra(cuda: int, extra: str | None) -> None:
    assert extra_for(cuda) == extra


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (replace(HOST, bus_gpus=("0000:65:00.0",)), "at 0000:65:00.0 but no driver answers"),
        (
            replace(GPU_HOST, missing_packages=("cupy",)),
            "pip install --require-hashes --only-binary :all: -r requirements/gpu13.txt",
        ),
        (replace(GPU_HOST, cuda=12080, missing_packages=("cupy",)), "-r requirements/gpu12.txt"),
        (replace(GPU_HOST, driver="470.1", cuda=11040), "driver 470.1 is too old (CUDA 11.4)"),
    ],
)
def test_what_is_missing_comes_with_how_to_get_it(found: Findings, said: str) -> None:
    (line,) = advice(found)
    assert said in line


def test_no_gpu_advice_where_gpus_are_not_wanted() -> None:
    found = replace(HOST, bus_gpus=("0000:65:00.0",), uses_gpus=False)
    assert list(advice(found)) == []


def test_a_driver_too_old_for_nvenc_is_named() -> None:
    notes = ["x264 on the host encodes: the driver is too old for this FFmpeg's NVENC (…)"]
    device = replace(GPU, report=GPU_REPORT | {"used_as": "hybrid", "notes": notes})
    (line,) = advice(replace(GPU_HOST, devices=(device,)))
    assert "NVENC needs a newer driver" in line


def test_cuda_versions_in_words() -> None:
    assert (cuda_text(12080), cuda_text(13000), cuda_text(0)) == ("12.8", "13.0", "unknown")


def test_an_app_that_everybody_may_publish_to_is_said() -> None:
    found = replace(HOST, exposure="anybody may publish")
    assert "  - WARNING: anybody may publish" in text(found)
    assert found.is_usable


def test_the_sandbox_is_whole_or_what_it_lacks_is_named_or_it_is_off() -> None:
    assert "Sandbox of the workers: files, network and programs are closed" in text(HOST)
    old = replace(HOST, sandbox_lacks=("Landlock (Linux 5.13)",))
    assert "Sandbox of the workers: not whole, this kernel lacks Landlock (Linux 5.13)" in text(old)
    lacks = ["Landlock (Linux 5.13)"]
    assert document(old)["sandbox"] == {"used": True, "lacks": lacks, "problems": ""}
    refused = replace(HOST, sandbox_problems="its system calls are not filtered (EPERM)")
    assert "not whole, of a process that tried: its system calls are not filtered" in text(refused)
    assert "let the container or the unit allow" in "".join(advice(refused))
    assert not list(advice(replace(refused, uses_sandbox=False)))
    off = replace(old, uses_sandbox=False)
    assert "Sandbox of the workers: off by the configuration (sandbox = false)" in text(off)


def test_a_certificate_is_named_with_what_is_wrong_with_it_where_tls_is_taken() -> None:
    assert "TLS" not in text(HOST)
    good = replace(HOST, certificate="/c.pem")
    assert "TLS: the certificate /c.pem is good" in text(good)
    assert not list(advice(good))
    bad = replace(good, certificate_problem="the key /k.pem does not fit the certificate /c.pem")
    assert "TLS: the key /k.pem does not fit the certificate /c.pem\n" in text(bad)
    (line,) = advice(bad)
    assert line.endswith("where tls.certificate and tls.key say")
    assert document(bad)["tls"]["certificate"] == "/c.pem"


def test_what_viewers_by_webrtc_need_is_said_where_it_is_missing() -> None:
    assert not any("webrtc" in line for line in advice(HOST))
    (line,) = (one for one in advice(replace(HOST, lacks_libsrt=True)) if "SRT" in one)
    assert "apt-get install libsrt1.5-openssl" in line
    (line,) = (one for one in advice(replace(HOST, lacks_webrtc=True)) if "WebRTC" in one)
    assert "requirements/webrtc.txt" in line
    assert 'pip install "tfarm[webrtc]"' in line


def test_what_is_wrong_with_the_packages_for_webrtc_is_said() -> None:
    problem = "pylibsrtp cannot be loaded: libsrtp2.so.1: no such file"
    (line,) = (one for one in advice(replace(HOST, webrtc_problem=problem)) if "WebRTC" in one)
    assert problem in line
    assert 'pip install --force-reinstall "tfarm[webrtc]"' in line


def test_a_host_of_a_cluster_says_what_other_hosts_would_refuse() -> None:
    assert "Cluster" not in text(HOST)
    host = replace(HOST, cluster="media1", etcd_versions=("3.4.23", "3.4.23"))
    assert "Cluster: host media1, 2 members of etcd answer (3.4.23), 0 problems" in text(host)
    bad = replace(host, etcd_versions=("3.4.23",), cluster_problems=("the CA /ca.pem ended",))
    assert "1 member of etcd answers (3.4.23), 1 problem" in text(bad)
    assert "cluster: the CA /ca.pem ended" in list(advice(bad))
    assert document(bad)["cluster"]["problems"] == ["the CA /ca.pem ended"]


def test_a_bucket_that_takes_no_files_is_to_be_seen_to() -> None:
    good = replace(HOST, buckets=("https://h/b",))
    assert "Recordings: https://h/b takes files" in text(good)
    bad = replace(good, bucket_problems=("the bucket https://h/b takes no files: no",))
    assert "takes no files: no" in "\n".join(advice(bad))
    assert "Recordings:" not in text(bad)
    assert document(bad)["buckets"]["problems"] == ["the bucket https://h/b takes no files: no"]

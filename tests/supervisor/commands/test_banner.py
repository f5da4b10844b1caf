"""What the farm says when it is up."""

from dataclasses import replace

import pytest

from common.config.access import Signing
from common.config.ladder import Pipeline, Template
from common.config.settings import DEFAULT_RENDITIONS, Listen, Settings, WebSettings
from common.ipc.control_messages import DeviceInfo
from common.ipc.identity import ChildId
from supervisor.commands.banner import address_text, banner, url_base, viewers_addresses
from supervisor.placement.cost import Resource
from supervisor.placement.fleet import Device, Fleet
from tests.kit.children import CPU0, GPU1


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1:1935", "rtmp://127.0.0.1"),
        ("127.0.0.1:4000", "rtmp://127.0.0.1:4000"),
        ("0.0.0.0:1935", "rtmp://HOST"),
        ("[::]:1936", "rtmp://HOST:1936"),
        ("[::1]:1935", "rtmp://[::1]"),
    ],
)
def test_urls_name_the_port_only_where_needed(address: str, url: str) -> None:
    assert url_base(address) == url


def test_addresses_as_text() -> None:
    assert address_text(Listen("::1", 5)) == "[::1]:5"
    assert address_text(Listen("127.0.0.1", 0)) == "127.0.0.1:0"


def test_it_says_where_to_publish_and_play_and_on_what_it_runs() -> None:
    keyed = Template("tv", DEFAULT_RENDITIONS[:1], publish_keys=("0" * 64,))
    settings = Settings()
    settings = replace(settings, templates=(*settings.templates, keyed, Template("relay", ())))
    devices = tuple(DeviceInfo(f"cpu:{n}", "software", "2 cores, libx264") for n in range(2))
    fleet = Fleet({Resource.CORES: 200.0}, {CPU0: Device(CPU0, Pipeline.SOFTWARE)})
    text = banner("0.1.0", "/run/tfarm", ["127.0.0.1:1935"], settings, fleet, devices)
    for words in (
        "rtmp://127.0.0.1/live/KEY\n",
        "rtmp://127.0.0.1/live/KEY/720p    (720p, 480p, 360p, source)",
        "rtmp://127.0.0.1/tv/KEY?key=",
        "rtmp://127.0.0.1/relay/KEY/source",
        "cpu:0, cpu:1: share 2 cores, libx264 (software)",
        'room      for 3 streams of 720p30 in "live" alone; each takes 51 of the 200 units of',
        'for 6 streams of 720p30 in "tv"',
        "GPUs      none found",
        "tfarm status --run-dir /run/tfarm",
    ):
        assert words in text, words
    command = ".venv/bin/tfarm"
    text = banner("0.1.0", "/r", [], settings, fleet, devices, command)
    assert "  .venv/bin/tfarm status --run-dir /r" in text


def test_what_an_operator_had_better_change_stands_last() -> None:
    signed = Template("tv", (), signing=Signing((("k1", "0123456789abcdef"),)))
    settings = Settings(templates=(signed,))
    said = (settings, Fleet({}, {}), ())
    text = banner("0.1.0", "/r", ["0.0.0.0:1935"], *said, warning="anybody may publish")
    assert text.endswith("\n\nWARNING: anybody may publish.")
    assert "rtmp://HOST/tv/KEY?token=…" in text
    assert "WARNING" not in banner("0.1.0", "/r", ["[::1]:1935"], *said)


def test_it_says_so_when_no_device_is_ready() -> None:
    text = banner("0.1.0", "/r", [], Settings(templates=()), Fleet(), ())
    assert "none is ready yet" in text


def test_a_gpu_whose_worker_still_starts_is_no_missing_gpu() -> None:
    slow = Device(GPU1, Pipeline.GPU_ONLY, is_up=False)
    fleet = Fleet(devices={slow.name: slow})
    text = banner("0.1.0", "/r", [], Settings(), fleet, ())
    assert "GPU-1: still starting" in text
    assert "none found" not in text


def test_a_gpu_with_several_workers_is_told_once() -> None:
    workers = [Device(ChildId(f"worker:GPU-1{end}"), Pipeline.HYBRID) for end in ("", ":1", ":2")]
    workers[2] = replace(workers[2], is_up=False)
    fleet = Fleet(devices={worker.name: worker for worker in workers})
    told = [DeviceInfo("GPU-1", "gpu", "NVIDIA H100", Pipeline.HYBRID)] * 2
    text = banner("0.1.0", "/r", [], Settings(), fleet, told)
    assert text.count("GPU-1") == 1
    assert "GPU-1: NVIDIA H100 (hybrid, 2 workers)" in text


def test_it_says_where_the_page_is_once_there_is_one() -> None:
    def last(*pages: str) -> str:
        found = banner("1", "/run", ["127.0.0.1:1935"], Settings(), Fleet(), [], pages=pages)
        return found.splitlines()[-1]

    assert last("127.0.0.1:9180") == "  page      http://127.0.0.1:9180/"
    assert last("0.0.0.0:80") == "  page      http://HOST:80/"
    assert "page" not in last()


def test_where_it_takes_tls_has_a_line() -> None:
    fleet = Fleet()
    assert "rtmps" not in banner("1", "/run", ["127.0.0.1:1935"], Settings(), fleet, [])
    found = banner("1", "/run", [":1935"], Settings(), fleet, [], with_tls=["0.0.0.0:1936"])
    assert "\n  with TLS  rtmps://HOST:1936/…\n" in found


def test_what_to_open_in_a_browser_stands_first() -> None:
    keyed = Template("tv", DEFAULT_RENDITIONS[:1], play_keys=("0" * 64,))
    settings = Settings()
    settings = replace(settings, templates=(*settings.templates, keyed))
    text = banner(
        "0.1.0", "/r", ["127.0.0.1:1935"], settings, Fleet(), (), viewers=["0.0.0.0:8080"]
    )
    lines = text.splitlines()
    assert lines[1:3] == [
        "  watch     http://HOST:8080/play/live/KEY",
        "  watch     http://HOST:8080/play/tv/KEY?key=…",
    ]
    assert "watch " not in banner("0.1.0", "/r", ["127.0.0.1:1935"], settings, Fleet(), ())


@pytest.mark.parametrize(
    ("enabled", "port", "listening", "expected"),
    [
        (True, 8080, ["127.0.0.1:9"], ["127.0.0.1:9"]),
        (True, 8080, [], ["127.0.0.1:8080"]),
        (True, 0, [], []),  # nobody knows yet which
        (False, 8080, [], []),
    ],
)
def test_where_to_watch_is_known_before_that_process_is_there(
    enabled: bool, port: int, listening: list[str], expected: list[str]
) -> None:
    settings = Settings(web=WebSettings(is_enabled=enabled), listen_http=Listen(port=port))
    assert viewers_addresses(settings, listening) == expected

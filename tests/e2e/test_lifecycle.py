"""The farm starts, stops, reloads, and brings back what dies."""

import itertools
import os
import re
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from common.rtmp.blocking_client import RtmpPublisher, RtmpRefused
from tests.kit.clients import Player, Publisher, frames
from tests.kit.clips import ClipSpec
from tests.kit.farm import DEFAULT_CONFIG, TFARM, Farm, tfarm, wait_dead
from tests.kit.waiting import patient, until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
LONG = ClipSpec(seconds=16.0)


def test_sigterm_while_streaming_ends_everything_cleanly(clip: MakeClip) -> None:
    """What leaving the farm's block asserts, with a publisher and a player on board."""
    with Farm() as farm:
        publisher = Publisher(farm.url("cam"), clip(LONG))
        player = Player(farm.url("cam", "240p"))
        with publisher, player:
            farm.wait_stream("cam")
            assert player.opened.wait(10)
            farm.stop()
            player.join(10)
        assert player.recording.decode_error == ""
        assert player.recording.shown
        farm.start()  # and again in the same run directory


def test_a_second_supervisor_on_the_same_run_directory_is_refused(farm: Farm) -> None:
    second = farm.cli("supervisor", str(farm.config))
    assert second.returncode != 0
    assert str(farm.run_dir) in second.stderr + second.stdout
    assert "Traceback" not in second.stderr
    assert farm.status()["children"]


def test_sighup_reloads_templates_for_new_streams(clip: MakeClip) -> None:
    with Farm() as farm, Publisher(farm.url("old"), clip(LONG)) as old:
        farm.wait_stream("old")
        added = '\n[templates.extra]\nhold = "0s"\nrenditions = []\n'
        before = farm.config.read_text()
        farm.config.write_text(before + added)
        assert farm.process is not None
        farm.process.send_signal(signal.SIGHUP)

        def extra_is_known() -> bool:
            try:
                with RtmpPublisher(farm.url("new", app="extra"), 30):
                    return True
            except RtmpRefused:
                return False

        until(extra_is_known, 10, "the new template is known", every=0.3)
        # A fault in the file changes nothing, and is named.
        farm.config.write_text(before + "\n[templates.extra]\ngop = 7\n")
        answer = farm.cli("reload")
        assert answer.returncode != 0
        assert "templates.extra.gop" in answer.stdout + answer.stderr
        assert extra_is_known()
        assert old.is_running


@pytest.mark.parametrize("kind", ["worker", "ingest", "egress"])
def test_a_child_that_is_killed_is_started_again_and_serves(
    farm: Farm, kind: str, clip: MakeClip
) -> None:
    path = clip(LONG)
    with Publisher(farm.url(f"old-{kind}"), path):
        farm.wait_stream(f"old-{kind}")
        before = farm.child(kind)
        os.kill(before["pid"], signal.SIGKILL)
        wait_dead(before["pid"])

        def is_back() -> bool:
            child = farm.child(kind)
            return bool(child["state"] == "ready" and child["pid"] != before["pid"])

        until(is_back, 15, f"{kind} is ready again", every=0.1)
        assert farm.child(kind)["restarts"] == before["restarts"] + 1
    if kind == "ingest":
        farm.port = int(farm.status()["listen"]["rtmp"][0].rpartition(":")[2])
    # Whatever became of the old stream, a new one is served end to end.
    with Publisher(farm.url(f"new-{kind}"), path) as publisher:
        assert publisher.started.wait(10)
        with Player(farm.url(f"new-{kind}", "144p"), enough=frames(20)) as player:
            player.join(20)
    assert player.error is None
    assert player.recording.decode_error == ""
    assert len(player.recording.shown) >= 20


# ---- the command line -------------------------------------------------------------------------


def test_status_without_a_farm_says_so_and_exits_1(tmp_path: Path) -> None:
    for arguments in (("status",), ("status", "--json")):
        answer = tfarm(*arguments, "--run-dir", str(tmp_path / "run"))
        assert answer.returncode == 1
        assert "not running" in answer.stderr + answer.stdout
        assert "Traceback" not in answer.stderr


def test_status_shows_devices_streams_and_children(farm: Farm, clip: MakeClip) -> None:
    until(lambda: not farm.streams(), 10, "the streams of other tests are gone")
    with Publisher(farm.url("cam"), clip(LONG), loop=True):
        farm.wait_stream("cam")
        with Player(farm.url("cam", "240p")) as player:
            assert player.opened.wait(15)

            def rates() -> bool:
                stream = farm.streams()["cam"]
                rendition = next(r for r in stream["renditions"] if r["name"] == "240p")
                is_measured = "total:240p" in stream["stages_ms"]  # a heartbeat after the player
                are_whole = rendition["fps"] > 25 and stream["fps"] > 25
                return bool(are_whole and rendition["players"] == 1 and is_measured)

            until(rates, 10, "the rates are known", every=0.3)
            status = farm.status()
            latency = farm.cli("status", "--latency")
            player.stop()
        device = next(d for d in status["devices"] if d["kind"] == "software")
        assert device["streams"] == 1
        assert 0 < device["used"] <= device["capacity"]
        stream = farm.streams()["cam"]
        assert stream["app"] == "live"
        assert (stream["width"], stream["height"]) == (640, 360)
        assert stream["codec"].startswith("avc1.")
        assert stream["publisher"].startswith("127.0.0.1:")
        for child in status["children"]:
            assert child["state"] == "ready"
            assert child["pid"] > 0
            assert child["memory_bytes"] > 0
        table = farm.cli("status")
        assert table.returncode == 0
        for word in ("240p", "144p", "source", "cpu"):
            assert word in table.stdout, word
        assert latency.returncode == 0, latency.stderr
        assert "live/cam: p50 / p99 in ms" in latency.stdout
        (row,) = [line for line in latency.stdout.splitlines() if line.startswith("total")]
        assert re.search(r"\d+\.\d / \d+\.\d", row), row
        assert_watched(farm)


def assert_watched(farm: Farm) -> None:
    """In a terminal `--watch` draws again and again, until Ctrl-C, which is a clean end."""
    terminal, inside = os.openpty()
    # a shell's background job, which these tests may be, leaves SIGINT ignored to its children
    command = ["env", "--default-signal=INT", TFARM, "status", "--watch"]
    command += ["--run-dir", str(farm.run_dir)]
    with subprocess.Popen(command, stdin=inside, stdout=inside, stderr=inside) as watch:
        os.close(inside)
        drawn = b""
        deadline = time.monotonic() + patient(15)
        try:
            while drawn.count(b"tfarm ") < 2:
                assert time.monotonic() < deadline, drawn
                if select.select([terminal], [], [], 0.5)[0]:
                    drawn += os.read(terminal, 65536)
            watch.send_signal(signal.SIGINT)
            assert watch.wait(patient(10)) == 0
        finally:
            watch.kill()
    os.close(terminal)
    assert b"live/cam" in drawn
    assert b"Traceback" not in drawn


def test_check_names_every_fault_by_its_path_and_exits_2(tmp_path: Path) -> None:
    good = tmp_path / "good.toml"
    good.write_text(DEFAULT_CONFIG)
    assert tfarm("check", str(good)).returncode == 0
    bad = tmp_path / "bad.toml"
    bad.write_text(
        '[listen]\nrtmp = "nowhere"\n[templates.live]\ngopp = "1s"\n'
        '[[templates.live.renditions]]\nname = "a"\nwidth = 641\nheight = 360\nbitrate = "1M"\n'
    )
    answer = tfarm("check", str(bad))
    assert answer.returncode == 2
    said = answer.stdout + answer.stderr
    for path in ("listen.rtmp", "templates.live.gopp", "templates.live.renditions[0].width"):
        assert path in said
    assert tfarm("check", str(tmp_path / "none.toml")).returncode == 2


def test_a_bad_configuration_stops_the_start_with_exit_code_2(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text("[listen]\nport = 1\n")
    answer = tfarm("supervisor", str(bad), "--run-dir", str(tmp_path / "run"))
    assert answer.returncode == 2
    assert "listen.port" in answer.stdout + answer.stderr


def test_help_reads_well_and_unknown_commands_exit_2() -> None:
    answer = tfarm("--help")
    assert answer.returncode == 0
    for command in ("supervisor", "status", "check", "demo", "reload", "stop"):
        assert command in answer.stdout
    assert tfarm("nonsense").returncode == 2
    assert tfarm("status", "--nonsense").returncode == 2


def test_stop_ends_the_farm() -> None:
    with Farm() as farm:
        process = farm.process
        assert process is not None
        assert farm.cli("stop").returncode == 0
        assert process.wait(15) == 0
        farm.process = None
        farm.start()


@pytest.mark.parametrize(
    ("after_s", "number"),
    list(
        zip(
            (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0),
            itertools.cycle((signal.SIGTERM, signal.SIGINT)),
            strict=False,
        )
    ),
)
def test_a_signal_at_any_moment_of_the_start_ends_the_farm_without_a_traceback(
    after_s: float, number: signal.Signals
) -> None:
    """Seen: a traceback up to 0.7 s after the start, and now and then a farm that went on.

    What comes while the interpreter itself begins is Python's to handle.
    """
    with tempfile.TemporaryDirectory(prefix="tfarm-") as folder:
        run_dir = Path(folder) / "run"
        config = Path(folder) / "farm.toml"
        config.write_text(f"standbys = false\n{DEFAULT_CONFIG}[web]\nenabled = false\n")
        command = [TFARM, "supervisor", str(config), "--run-dir", str(run_dir)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            try:
                wait_until_ours(process.pid)
                time.sleep(after_s)  # sleep: the moment is what is tried
                process.send_signal(number)
                said, _ = process.communicate(timeout=20)
            finally:
                process.kill()
        assert "Traceback" not in said
        # the others: before there was any farm, in `tfarm` itself
        assert process.returncode in (0, -number, 128 + number), said
        left = sorted(path.name for path in run_dir.glob("*"))
    assert [name for name in left if name != "supervisor.lock"] == []


def wait_until_ours(pid: int) -> None:
    """Until `tfarm` has taken SIGINT from the handler that Python began with."""
    bit = 1 << (signal.SIGINT - 1)
    was_pythons = False
    deadline = time.monotonic() + patient(10)
    while time.monotonic() < deadline:
        status = Path(f"/proc/{pid}/status").read_text()
        masks = {
            name: int(value, 16) for name, value in re.findall(r"(Sig\w+):\s*(\w{16})", status)
        }
        is_pythons = bool(masks["SigCgt"] & bit)
        if masks["SigBlk"] & bit or (was_pythons and not is_pythons):
            return
        was_pythons = was_pythons or is_pythons
        time.sleep(0.001)  # sleep: between two looks
    pytest.fail("tfarm did not begin")

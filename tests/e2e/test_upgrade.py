"""From one installed version to the next, as docs/upgrade.md says, while streams run.

Nobody is disconnected; each player gets each picture once, by its number.
"""

import shutil
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from common.ipc.kinds import KINDS
from common.version import VERSION
from tests.e2e.test_recovery import TWO_WORKERS, assert_whole, started
from tests.kit.certificates import make
from tests.kit.clients import Player, Publisher, play_on
from tests.kit.clips import ClipSpec
from tests.kit.farm import Farm
from tests.kit.installed import ROOT, install, make_environment, make_wheel
from tests.kit.waiting import until
from tests.kit.whep_client import WhepClient

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]  # two wheels are built and installed

NEXT = "99.0.0"
MOST_STANDBYS = sum(kind.has_standby for kind in KINDS.values())
CLIP = ClipSpec(seconds=16.0)
RETIRE = {"egress:0", "ingest:0", "tls:0", "rtc:0"}
BRIEF = {"web:0"}  # it has nobody any more as soon as its clients have asked once more
API = '\n[api]\nlisten = "127.0.0.1:0"\n'


def next_version(folder: Path) -> Path:
    """A checkout of this code that calls itself a later version, and says more in its messages."""
    ignored = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "tests", "docs")
    shutil.copytree(ROOT, folder, ignore=ignored)
    for name in ("pyproject.toml", "common/version.py"):
        replace_in(folder / name, f'"{VERSION}"', f'"{NEXT}"')
    for last in ('datagrams: str = ""  #', "pulled: tuple[StreamId, ...] = ()  # a relay"):
        # behind the last field of `Endpoint`, and of `Hello`
        replace_in(
            folder / "common/ipc/control_messages.py",
            f"    {last}",
            f"    {last.partition('  #')[0]}\n    later: str = 'so'  #{last.partition('  #')[2]}",
        )
    return folder


def replace_in(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def children(farm: Farm) -> dict[str, int]:
    return {child["name"]: child["pid"] for child in farm.status()["children"]}


class Knocking:
    """Somebody connects all the time; each connection must be taken."""

    def __init__(self, port: int) -> None:
        self.count = 0
        self.refused: list[str] = []
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Knocking":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            self.count += 1
            try:
                with socket.create_connection(("127.0.0.1", self._port), 5) as sock:
                    sock.settimeout(5)
                    sock.sendall(b"\3" + bytes(1536))  # C0 and C1
                    if not sock.recv(1):  # S0
                        self.refused.append("closed")
            except OSError as error:
                self.refused.append(str(error))


def wait_for_standbys(farm: Farm) -> None:
    """Wait until nothing is about to start: no process can import what is being replaced."""
    busy_s: dict[int, float] = {}

    def are_idle() -> bool:
        before = dict(busy_s)
        busy_s.update({one.pid: sum(one.cpu_times()[:2]) for one in farm.standbys()})
        return len(busy_s) >= MOST_STANDBYS and before == busy_s

    until(are_idle, 30, "processes wait, their imports done", every=0.5)


def test_nobody_is_disconnected_by_an_upgrade_and_no_picture_is_lost(  # long: one farm for all
    clip: Callable[[ClipSpec], Path], tmp_path: Path
) -> None:
    environment = make_environment(tmp_path / "environment")
    install(environment, make_wheel(tmp_path / "now"))
    later = make_wheel(tmp_path / "later", next_version(tmp_path / "checkout"))
    tfarm = str(environment / "bin" / "tfarm")
    files = make(tmp_path / "tls")
    tls = (
        f'rtmps = "127.0.0.1:0"\n[tls]\ncertificate = "{files.certificate}"\nkey = "{files.key}"\n'
    )
    web = 'http = "127.0.0.1:0"\n'
    config = TWO_WORKERS.replace("[devices]", f"{web}{tls}[devices]", 1)
    config += '\n[web]\nenabled = true\n[webrtc]\nlisten = "127.0.0.1:0"\n'
    config = config.replace("enabled = false", 'listen = "127.0.0.1:0"')  # the API's
    path = clip(CLIP)
    with Farm(config, supervisor=(tfarm, "supervisor"), standbys=True) as farm:

        def by_tls(url: str) -> str:
            return url.replace("rtmp://", "rtmps://").replace(str(farm.port), str(farm.tls_port))

        publishers = [
            Publisher(farm.url("a"), path, loop=True),
            Publisher(by_tls(farm.url("b")), path, loop=True),
        ]
        for publisher in publishers:
            publisher.__enter__()
        farm.wait_stream("a", "b")
        players = {
            farm.url(key, name): Player(wrap(farm.url(key, name)))
            for key, name, wrap in (
                ("a", "240p", str),
                ("a", "source", by_tls),
                ("b", "144p", by_tls),
            )
        }
        http = f"http://{farm.status()['listen']['web'][0]}/live/a"
        farm.wait_log("WebRTC listens")
        by_webrtc = WhepClient(f"{http}/240p/whep")
        by_hls = Player(f"{http}/index.m3u8", seconds=600)
        players[f"{http}/240p.flv"] = Player(f"{http}/240p.flv")
        viewers: list[Player | WhepClient] = [*players.values(), by_hls, by_webrtc]
        for viewer in viewers:
            viewer.__enter__()
        assert by_webrtc.status == 201, by_webrtc.words
        started([*players.values(), by_hls])
        until(lambda: by_webrtc.numbers, 10, "pictures by WebRTC")
        before = children(farm)
        assert farm.status()["version"] == VERSION
        wait_for_standbys(farm)
        install(environment, later)
        with Knocking(farm.port) as knocking:
            said = subprocess.run(
                [tfarm, "upgrade", "--run-dir", str(farm.run_dir)],
                capture_output=True,
                text=True,
                check=False,
            )
            assert said.returncode == 0, said.stderr + said.stdout
            assert f"the farm runs tfarm {NEXT}\n" in said.stdout
        assert knocking.refused == []
        assert knocking.count > 100
        status = farm.status()
        versions = {child["name"]: child["version"] for child in status["children"]}
        assert status["version"] == NEXT
        assert {name for name, old in versions.items() if old != NEXT} - BRIEF == RETIRE
        now = children(farm)
        kept = set(before.values()) & set(now.values())
        assert kept - {before[name] for name in BRIEF} == {before[name] for name in RETIRE}
        assert all(peer.is_running for peer in (*publishers, *players.values(), by_hls))

        # newcomers are served by the new processes, from old ones' streams too
        latecomer = Publisher(farm.url("late"), path, loop=True)
        late = Player(by_tls(farm.url("a", "240p"))), Player(farm.url("late", "240p"))
        with latecomer:
            farm.wait_stream("late")
            for player in late:
                player.__enter__()
            started(late)
            until(lambda: all(len(one.recording.video) > 60 for one in late), 10, "pictures")
            with WhepClient(f"{http}/240p/whep") as late_by_webrtc:
                assert late_by_webrtc.status == 201, late_by_webrtc.words
                until(lambda: late_by_webrtc.numbers, 10, "pictures by WebRTC of the new process")
                count = len(by_webrtc.numbers)
                until(lambda: len(by_webrtc.numbers) > count + 30, 10, "the old session goes on")
            assert by_webrtc.state == "connected"
            play_on(by_hls)
            by_webrtc.__exit__(None, None, None)
            by_hls.stop()
            for player in (*late, *players.values()):
                player.stop()
            for publisher in publishers:
                publisher.stop()
            until(lambda: not children(farm).keys() & (RETIRE | BRIEF), 15, "the old ones end")
            assert set(children(farm).values()) == set(now.values()) - kept
        for url, player in (*players.items(), *((one._url, one) for one in late)):
            is_half = url.endswith("144p")
            assert_whole(player, 1000 / 15 if is_half else 1000 / 30)
            assert player.recording.number_steps(CLIP.frames) == {2 if is_half else 1}

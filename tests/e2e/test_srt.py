"""SRT on a real farm: ffmpeg publishes over a line that loses datagrams, watches, is refused."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.srt import installed as libsrt
from tests.kit.clients import frames, record
from tests.kit.clips import ClipSpec
from tests.kit.farm import DEFAULT_CONFIG, Farm
from tests.kit.lossy_udp import Line, lossy
from tests.kit.needs import lacks
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
SPEC = ClipSpec(seconds=4.0)
PASSPHRASE = "a long passphrase"
CONFIG = DEFAULT_CONFIG.replace(
    "[devices]",
    f"""srt = "127.0.0.1:0"

[srt]
passphrases = {{ "live/coded" = "{PASSPHRASE}" }}

[devices]""",
)
# So much that no busy machine makes a datagram come too late to be mended.
LATENCY_US = 1_000_000


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    if not libsrt.is_there():
        lacks("libsrt", "libsrt1.5-openssl")
    if "srt" not in subprocess.run(["ffmpeg", "-protocols"], capture_output=True, text=True).stdout:
        lacks("ffmpeg with SRT", "ffmpeg")
    with Farm(CONFIG) as running:
        yield running


def port_of(farm: Farm) -> int:
    return int(farm.status()["listen"]["srt"][0].rpartition(":")[2])


@contextlib.contextmanager
def publisher(clip: Path, to: str) -> Iterator["subprocess.Popen[str]"]:
    """ffmpeg, which sends a clip again and again as a transport stream."""
    options = ["-v", "warning", "-re", "-stream_loop", "-1", "-i", str(clip), "-c", "copy"]
    options += ["-f", "mpegts", to]
    process = subprocess.Popen(
        ["ffmpeg", "-nostdin", *options],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=20)


def url(port: int, streamid: str, **options: object) -> str:
    query = "&".join(f"{name}={value}" for name, value in options.items())
    return f"srt://127.0.0.1:{port}?latency={LATENCY_US}&streamid={streamid}&{query}"


def refused(clip: Path, to: str) -> str:
    with publisher(clip, to) as process:
        assert process.wait(30) != 0
        assert process.stderr is not None
        return process.stderr.read()


def frames_of(address: str, count: int) -> int:
    """So many pictures, decoded by ffmpeg without an error, of what it is sent by SRT."""
    options = ["-v", "error", "-xerror", "-i", address, "-frames:v", str(count)]
    command = ["ffmpeg", "-nostdin", *options, "-f", "rawvideo", "-s", "16x16", "-"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    return len(done.stdout) // (16 * 16 * 3 // 2)


def test_a_lossy_line_costs_no_picture_and_refusals_are_shown(farm: Farm, clip: MakeClip) -> None:
    port, source = port_of(farm), clip(SPEC)
    with (
        lossy(port, Line(loss=0.05)) as proxy,
        publisher(source, url(proxy.address[1], "publish:live/cam")),
    ):
        farm.wait_stream("cam", timeout=20)
        recording = record(farm.url("cam", "source"), enough=frames(90))
        assert not recording.decode_error
        assert recording.number_steps(SPEC.frames) == {1}
        assert proxy.lost > 10, "there was something to mend"
        watched = frames_of(url(port, "request:live/cam/240p"), 60)
        assert watched == 60
        assert "Application-defined" in refused(source, url(port, "publish:live/cam"))
    wrong = {"passphrase": "another passphrase"}
    assert "Incorrect passphrase" in refused(source, url(port, "publish:live/coded", **wrong))
    with publisher(source, url(port, "publish:live/coded", passphrase=PASSPHRASE)):
        until(lambda: farm.child("srt")["counters"]["accepted"] == 2, what="who has the passphrase")

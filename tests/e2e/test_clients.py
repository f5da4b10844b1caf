"""Other people's RTMP, where it is installed: librtmp (rtmpdump, rtmpsink) and GStreamer's own.

docs/clients.md has what else was tried by hand. Clips are shifted to 20 000 s, where RTMP's
timestamps are extended: librtmp leaves the extension out of continuation chunks when it writes,
and does not expect it there when it reads.
"""

import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kit.clients import FlvTag, Player, TagPublisher, flv_tags, record, shifted
from tests.kit.clips import ClipSpec
from tests.kit.farm import DEFAULT_CONFIG, Farm
from tests.kit.needs import lacks

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
START_MS = 20_000_000
SPEC = ClipSpec(seconds=3.0)
FLV_HEADER = b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00"

PUBLISHERS = {
    "rtmpsink": "fdsrc ! rtmpsink location={url}",
    "rtmp2sink": "fdsrc ! flvdemux name=d d.video ! queue ! h264parse ! mux. "
    "d.audio ! queue ! aacparse ! mux. "
    "flvmux name=mux streamable=true ! rtmp2sink sync=false location={url}",
}
PLAYERS = {
    "rtmpdump": "rtmpdump --quiet --live -r {url} -o {file}",
    "rtmpsrc": "gst-launch-1.0 -q rtmpsrc location={url} ! filesink location={file}",
    "rtmp2src": "gst-launch-1.0 -q rtmp2src location={url} ! filesink location={file}",
}


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    """A farm whose players wait for a publisher briefly: rtmpsrc asks again at a stream's end."""
    config = DEFAULT_CONFIG.replace('wait = "30s"', 'wait = "5s"')
    assert config != DEFAULT_CONFIG
    with Farm(config) as running:
        yield running


def need(name: str) -> None:
    """Skip where the program or the GStreamer element is not installed."""
    if name == "rtmpdump":
        found, packages = shutil.which(name) is not None, name
    else:
        inspect = shutil.which("gst-inspect-1.0")
        found = inspect is not None and not subprocess.call([inspect, "--exists", name])
        packages = "gstreamer1.0-tools gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"
    if not found:
        lacks(name, packages)


@contextmanager
def running(command: str) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        shlex.split(command),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def feed(process: "subprocess.Popen[bytes]", tags: Sequence[FlvTag]) -> None:
    """Write tags as FLV to the process's input, at their own pace."""
    assert process.stdin is not None
    process.stdin.write(FLV_HEADER)
    begin = time.monotonic() - tags[0].dts_ms / 1000
    for tag in tags:
        wait_s = begin + tag.dts_ms / 1000 - time.monotonic()
        time.sleep(max(0.0, wait_s))  # sleep: the pace of what is sent
        dts = (tag.dts_ms & 0xFFFFFF).to_bytes(3, "big") + bytes((tag.dts_ms >> 24,))
        head = bytes((tag.type,)) + len(tag.body).to_bytes(3, "big") + dts + bytes(3)
        process.stdin.write(head + tag.body + (len(tag.body) + 11).to_bytes(4, "big"))
        process.stdin.flush()
    process.stdin.close()


@pytest.mark.parametrize("name", PUBLISHERS)
def test_what_it_publishes_is_played_whole(farm: Farm, clip: MakeClip, name: str) -> None:
    need(name)
    tags = shifted(flv_tags(clip(SPEC)), START_MS)
    url = farm.url(name)
    with Player(farm.url(name, "240p")) as player:
        launch = f"gst-launch-1.0 -q -e {PUBLISHERS[name].format(url=url)}"
        with running(launch) as publisher:
            feed(publisher, tags)
            publisher.wait(15)
        player.join(20)
    recording = player.recording
    assert recording.decode_error == ""
    numbers = [shown.number for shown in recording.shown]
    assert numbers == list(range(numbers[0] or 0, SPEC.frames))
    assert len(numbers) > 60
    assert len(recording.audio) > 90


@pytest.mark.parametrize("name", PLAYERS)
def test_what_it_plays_is_whole(farm: Farm, clip: MakeClip, name: str, tmp_path: Path) -> None:
    need(name)
    file = tmp_path / "played.flv"
    tags = shifted(flv_tags(clip(SPEC)), START_MS)
    url = farm.url(name, "240p")
    with (
        running(PLAYERS[name].format(url=url, file=file)) as player,
        TagPublisher(farm.url(name), tags) as publisher,
    ):
        publisher.join(20)
        assert publisher.error is None
        player.wait(15)  # told of the end, it ends by itself
    recording = record(str(file))
    assert recording.decode_error == ""
    numbers = [shown.number for shown in recording.shown]
    assert numbers == list(range(numbers[0] or 0, SPEC.frames))
    assert recording.video[0].dts_ms >= START_MS
    assert len(numbers) > 60
    assert len(recording.audio) > 90

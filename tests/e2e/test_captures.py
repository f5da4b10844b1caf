"""Captures of a real farm: by command, and by themselves."""

import contextlib
import re
import stat
from fractions import Fraction
from pathlib import Path

import pytest

from common.capture.capture_file import read_whole
from common.rtmp.blocking_client import RtmpPublisher
from tests.e2e.conftest import MakeClip
from tests.kit.clients import (
    FlvTag,
    Player,
    Publisher,
    TagPublisher,
    end_ms,
    flv_tags,
    send_tag,
    shifted,
)
from tests.kit.clips import ClipSpec
from tests.kit.farm import Farm
from tests.kit.replay import load, replay
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e
SPEC = ClipSpec(seconds=4)


def test_what_a_publisher_sent_is_written_on_demand(
    farm: Farm, clip: MakeClip, tmp_path: Path
) -> None:
    output = tmp_path / "cam.tfcap"
    with Publisher(farm.url("secret-cam"), clip(SPEC), loop=True):
        farm.wait_stream("secret-cam")
        answer = farm.cli("capture", "live/secret-cam", "-o", str(output))
        assert answer.returncode == 0, answer.stderr
        small = farm.cli("capture", "live/secret-cam", "--headers-only")
        assert small.returncode == 0, small.stderr
        again = farm.cli("capture", "live/secret-cam", "-o", str(output))
        assert (again.returncode, "is there already" in again.stderr) == (1, True)
        gone = farm.cli("capture", "live/other")
        assert (gone.returncode, "no such stream" in gone.stderr) == (1, True)
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    info, reads = read_whole([output.read_bytes()])
    assert (info.app, info.reason, info.starts_late) == ("live", "asked for", False)
    assert info.encoder
    # where the clip begins again, what its last messages overlap is left out
    sent = [tag.body for tag in flv_tags(clip(SPEC)) if tag.type != 18][:-10]
    captured = [m.payload() for read in reads for m in read.messages if m.type_id != 18]
    assert len(captured) > 20
    assert captured[: len(sent)] == sent[: len(captured)]
    path = Path(small.stdout.partition(":")[0])
    assert path.parent == farm.run_dir / "captures"
    assert path.stat().st_size < output.stat().st_size / 3
    assert read_whole([path.read_bytes()])[0].headers_only
    assert "secret-cam" not in farm.log()


def test_a_publisher_that_is_closed_for_a_fault_leaves_a_capture(
    farm: Farm, clip: MakeClip
) -> None:
    with RtmpPublisher(farm.url("broken")) as publisher:
        for tag in flv_tags(clip(SPEC))[:30]:
            send_tag(publisher, tag)
        farm.wait_stream("broken")
        publisher.session.send_video(0, b"")
        garbage = b"\x07" + b"\xff" * 20_000  # a chunk of a message longer than may be
        publisher._open_socket().sendall(garbage)
        until(lambda: "=closed: ChunkError" in farm.log())
    line = next(line for line in farm.log().splitlines() if "=closed: ChunkError" in line)
    path = Path(line.partition("file=")[2].partition(" ")[0])
    info, reads = read_whole([path.read_bytes()])
    assert info.reason.startswith("closed: ChunkError")
    assert sum(len(read.messages) for read in reads) >= 30


def test_a_capture_is_published_again_and_its_verdict_printed(
    farm: Farm, clip: MakeClip, tmp_path: Path
) -> None:
    output = tmp_path / "cam.tfcap"
    with Publisher(farm.url("cam"), clip(SPEC)) as publisher:
        publisher.join(20)
    with Publisher(farm.url("cam"), clip(SPEC), loop=True):
        farm.wait_stream("cam")
        assert farm.cli("capture", "live/cam", "-o", str(output)).returncode == 0
    farm.wait_gone("cam")
    answer = farm.cli("replay", str(output), "--speed", "1.25")
    assert (answer.returncode, answer.stderr) == (0, "")
    reads = read_whole([output.read_bytes()])[1]
    videos = sum(m.type_id == 9 for read in reads for m in read.messages)
    assert f"Sent {videos} video" in answer.stdout
    assert "at 1.25 times its speed" in answer.stdout
    assert "Ingest: 640x360" in answer.stdout
    assert " 0 errors" in answer.stdout
    assert "240p: " in answer.stdout
    farm.wait_gone("replay-" + read_whole([output.read_bytes()])[0].key_hash)
    refused = farm.cli("replay", str(output), farm.url("cam", app="nowhere"))
    assert (refused.returncode, "no app 'nowhere' here" in refused.stdout) == (1, True)
    bad = farm.cli("replay", str(farm.config))
    assert (bad.returncode, "it is no capture" in bad.stderr) == (1, True)


def test_a_capture_in_virtual_time_decides_as_the_farm_did(
    farm: Farm, clip: MakeClip, tmp_path: Path
) -> None:
    """A publisher whose clock runs 1.8 times as fast: every time that goes out is decided here.

    Without B-frames: composition times of another clock are made up by the decoder's delay, which
    virtual time does not have.
    """
    tags = flv_tags(clip(ClipSpec(seconds=7, b_frames=0)))
    again = [tag for tag in tags if tag.type != 18 and not tag.is_header]
    for _ in range(5):  # more than a busy machine needs for all of this; it is stopped before
        tags = [*tags, *shifted(again, end_ms(tags))]
    fast = [FlvTag(tag.type, round(tag.dts_ms * 1.8), tag.body) for tag in tags]
    due = [float(tag.dts_ms) for tag in tags]
    files = [tmp_path / "whole.tfcap", tmp_path / "headers.tfcap"]
    names = ("", "240p", "144p")
    with TagPublisher(farm.url("fast"), fast, due_ms=due):
        farm.wait_stream("fast")
        with contextlib.ExitStack() as stack:
            urls = [farm.url("fast", name) for name in names]
            players = [stack.enter_context(Player(url)) for url in urls]
            until(lambda: all(len(player.recording.video) > 60 for player in players))
            for file, option in zip(files, ((), ("--headers-only",)), strict=True):
                answer = farm.cli("capture", "live/fast", "-o", str(file), *option)
                assert answer.returncode == 0, answer.stderr
    caps = {"240p": None, "144p": Fraction(15)}
    (_, whole), (_, headers) = map(load, files)
    decisions = replay(whole, caps, gop_ms=1000)
    same = replay(headers[: len(whole)], caps, gop_ms=1000)
    assert same == decisions
    # a busy machine sends it more slowly
    assert re.search(r"run 1\.\d times as fast", decisions.source_clock)
    assert decisions.notices
    assert all(notice in farm.log() for notice in decisions.notices)
    taken = {"": [unit.pts_ms for unit in decisions.units], **decisions.taken}
    for name, player in zip(names, players, strict=True):
        shown = sorted(unit.pts_ms for unit in player.recording.video)
        ours = sorted(taken[name])
        begin, end = max(shown[0], ours[3]), min(shown[-1], ours[-3])
        within = [pts for pts in ours if begin <= pts <= end]
        assert len(within) > 20
        seen = [pts for pts in shown if begin <= pts <= end]
        assert len(seen) == len(within), name
        # a file's times of arrival are rounded, and times that follow them with it
        assert all(abs(a - b) <= 1 for a, b in zip(seen, within, strict=True)), name

"""A stream of one host, played at another: two farms, their etcd, and what crosses between them."""

import itertools
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from common.rtmp.blocking_client import RtmpPublisher
from tests.kit.certificates import Authority
from tests.kit.clients import Player, Publisher, Recording, play_on, refusal_of
from tests.kit.clips import ClipSpec
from tests.kit.cluster_farms import relayed_table
from tests.kit.etcd import Etcd, free_ports, needs_etcd
from tests.kit.farm import DEFAULT_CONFIG, Farm
from tests.kit.waiting import until
from tests.kit.whep_client import WhepClient

pytestmark = [pytest.mark.e2e, pytest.mark.cluster, needs_etcd]

MakeClip = Callable[[ClipSpec], Path]


def config(directory: Path, host: str, etcd: Etcd, port: int) -> str:
    return (
        DEFAULT_CONFIG.replace('"127.0.0.1:0"\n', '"127.0.0.1:0"\nhttp = "127.0.0.1:0"\n', 1)
        + f"""
[web]
enabled = true

[webrtc]
listen = "127.0.0.1:0"
{relayed_table(host, etcd, directory, port)}
keep = "4s"
"""
    )


@pytest.fixture(scope="module")
def farms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Farm, Farm]]:
    """Host a, where streams are made, and host b."""
    directory = tmp_path_factory.mktemp("cluster")
    authority = Authority(directory)
    with ExitStack() as stack:
        etcd = stack.enter_context(Etcd(directory))
        made = []
        for host, port in zip(("host-a", "host-b"), free_ports(2), strict=True):
            authority.issue(host)
            made.append(Farm(config(directory, host, etcd, port)))
        with ThreadPoolExecutor() as pool:  # both at once
            here, there = pool.map(stack.enter_context, made)
        yield here, there


def counter(farm: Farm, name: str) -> int:
    return int(farm.child("relay")["counters"].get(name, 0))


def forwarded(farm: Farm) -> list[dict[str, Any]]:
    """The rows of publishers here whose streams other hosts have."""
    found = farm.status()["cluster"]["forwarded"]
    assert isinstance(found, list)
    return found


def assert_whole(recording: Recording, clip: ClipSpec) -> None:
    """Every picture of the publisher's, once, in order of time."""
    assert recording.number_steps(clip.frames) == {1}
    times = [unit.dts_ms for unit in recording.video]
    assert all(before < after for before, after in itertools.pairwise(times))
    assert recording.audio


def test_a_stream_of_another_host_is_played_here_while_somebody_watches(
    farms: tuple[Farm, Farm], clip: MakeClip
) -> None:
    here, there = farms
    spec = ClipSpec(seconds=8.0)
    (web,) = there.status()["listen"]["web"]
    with Publisher(here.url("cam"), clip(spec), loop=True):
        here.wait_stream("cam")
        by_rtmp = Player(there.url("cam", "240p"))
        by_flv = Player(f"http://{web}/live/cam/source.flv")
        with by_rtmp, by_flv:
            play_on(by_rtmp, by_flv, ms=1000)
            until(lambda: counter(here, "relay streams") == 1, 5, "it crosses", every=0.2)
        assert_whole(by_rtmp.recording, spec)
        assert_whole(by_flv.recording, spec)
        until(lambda: counter(here, "relay streams") == 0, 10, "the pull ends", every=0.2)
        assert "live/cam" not in here.log() + there.log()


def test_every_way_to_watch_works_where_the_stream_is_not(
    farms: tuple[Farm, Farm], clip: MakeClip
) -> None:
    here, there = farms
    spec = ClipSpec(seconds=8.0)
    (web,) = there.status()["listen"]["web"]
    with Publisher(here.url("all"), clip(spec), loop=True), ExitStack() as stack:
        here.wait_stream("all")
        by_rtmp = stack.enter_context(Player(there.url("all", "240p")))
        play_on(by_rtmp, ms=500)
        # wanted later than another one: with its GOP, and the sound of it
        later = stack.enter_context(Player(there.url("all", "source")))
        by_hls = stack.enter_context(Player(f"http://{web}/live/all/index.m3u8"))
        by_whep = stack.enter_context(WhepClient(f"http://{web}/live/all/240p/whep"))
        play_on(later, by_hls, by_rtmp)
        until(lambda: len(by_whep.numbers) > 20 and by_whep.sound_frames > 20, 20, "WebRTC plays")
        first, heard = later.recording.video[0], later.recording.audio[0]
        assert heard.dts_ms - first.dts_ms < 200
        assert by_hls.recording.audio
        with urllib.request.urlopen(f"http://{web}/live/all/index.mpd", timeout=10) as answer:
            assert b"<MPD" in answer.read()


def test_a_publisher_may_come_to_any_host(farms: tuple[Farm, Farm], clip: MakeClip) -> None:
    """Its stream begins where there is room; who comes for it elsewhere is judged by its owner."""
    here, there = farms
    spec = ClipSpec(seconds=8.0)
    assert there.cli("drain", "--all").returncode == 0
    try:
        with Publisher(there.url("far"), clip(spec), loop=True):
            at_owner, at_publisher = Player(here.url("far", "240p")), Player(there.url("far"))
            with at_owner, at_publisher:
                play_on(at_owner, at_publisher, ms=1000)
                assert refusal_of(RtmpPublisher(there.url("far"), 30)) == (
                    "NetStream.Publish.BadName",
                    "the stream key is in use",
                )
                until(lambda: forwarded(there), 5, "status has it", every=0.2)
                (row,) = forwarded(there)
                until(lambda: here.streams()["far"]["by_host"] == "host-b", 5, "and the owner's")
                publisher = here.streams()["far"]["publisher"]
                assert (row["host"], row["publisher"]) == ("host-a", publisher)
                assert "far" not in there.streams()
                assert row["stream"] in there.cli("cluster", "status").stdout
            assert_whole(at_owner.recording, spec)
            assert_whole(at_publisher.recording, spec)
        here.wait_gone("far")
        until(lambda: not forwarded(there), 5, "its row is gone", every=0.2)
        assert "live/far" not in here.log() + there.log()
    finally:
        there.cli("undrain", "--all")

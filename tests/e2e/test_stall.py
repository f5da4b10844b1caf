"""Keyframes that are far apart: after a stall, and after the loss of a worker."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from tests.kit.clients import Player, TagPublisher, flv_tags
from tests.kit.clips import ClipSpec
from tests.kit.farm import DEFAULT_CONFIG, Farm, held
from tests.kit.waiting import patient, until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
CLIP = ClipSpec(seconds=8.5, fps=Fraction(25), gop_frames=200, b_frames=0)
PADDING = bytes([12]) + b"\xff" * 150_000 + b"\x80"  # a NAL unit of filler data


def numbers(player: Player) -> list[int]:
    assert player.recording.decode_error == ""
    read = [shown.number for shown in player.recording.shown]
    return [number for number in read if number is not None]


def test_after_a_stall_and_a_burst_nothing_waits_for_the_next_keyframe(clip: MakeClip) -> None:
    """Keyframes at 0 and 8 s; nothing comes from 2.5 s to 5.5 s."""
    tags = flv_tags(clip(CLIP))
    due_ms = [5_500 if 2_500 <= tag.dts_ms < 5_500 else tag.dts_ms for tag in tags]
    config = held(DEFAULT_CONFIG, "0s").replace('queue = "60s"', 'queue = "1s"')
    with Farm(config) as farm, Player(farm.url("cam", "240p"), seconds=30) as player:
        with TagPublisher(farm.url("cam"), tags, due_ms=due_ms, vanish=True) as publisher:
            until(lambda: publisher.sent == len(tags), 20, "all is sent")
            until(lambda: player.recording.video[-1].pts_ms > 8_300, 20, "the last pictures")
            status = farm.streams()["cam"]
        player.stop()
    seen = numbers(player)
    assert seen == sorted(seen)
    held_up = range(63, 137)
    live = set(range(140, 200))  # before the keyframe at 8 s
    assert len(live - set(seen)) < 20
    assert max(map(seen.count, range(55, 65))) > 25, "one stood in meanwhile"
    lost = len(held_up) - len(set(held_up) & set(seen))
    assert lost > 40
    assert status["dropped_by_worker"] >= lost


def test_a_worker_that_takes_over_within_a_gop_that_is_too_long_repeats_its_keyframe(
    clip: MakeClip,
) -> None:
    """Keyframes at 0 and 8 s, and more than 16 MiB between them."""
    tags = [
        tag
        if tag.type != 9 or tag.is_header
        else replace(
            tag, body=tag.body[:5] + len(PADDING).to_bytes(4, "big") + PADDING + tag.body[5:]
        )
        for tag in flv_tags(clip(CLIP.but(seconds=9.5)))
    ]
    with (
        Farm(held(DEFAULT_CONFIG, "0s").replace("workers = 1", "workers = 2")) as farm,
        Player(farm.url("cam", "240p"), seconds=30) as player,
        TagPublisher(farm.url("cam"), tags) as publisher,
    ):
        until(
            lambda: (
                "GOP longer than the buffer" in farm.streams().get("cam", {}).get("dropped", {})
            ),
            15,
            "ingest has forgotten the GOP",
        )
        status = farm.status()
        worker = farm.streams()["cam"]["worker"]
        os.kill(next(c["pid"] for c in status["children"] if c["name"] == worker), signal.SIGKILL)
        until(lambda: publisher.sent == len(tags), 20, "all is sent")
        until(lambda: not player.is_running, 20, "the end")
        player.stop()
    seen = numbers(player)
    at = next(i for i, (a, b) in enumerate(pairwise(seen), 1) if b < a)
    again = seen[at : seen.index(next(n for n in seen if n >= 200))]
    assert set(again) == {0}, "the keyframe's picture"
    assert len(again) > 10
    assert len(set(range(202, 232)) - set(seen)) < 5, "whole again from the next keyframe on"
    times = [unit.pts_ms for unit in player.recording.video]
    assert all(0 < b - a < patient(1500) for a, b in pairwise(times))

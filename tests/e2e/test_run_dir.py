"""The run directory of a running farm is removed: nobody notices, and it heals."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit.clients import Player, Publisher, frames
from tests.kit.clips import ClipSpec
from tests.kit.farm import DEFAULT_CONFIG, Farm
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
LONG = ClipSpec(seconds=10.0)


def test_streams_go_on_players_come_and_workers_are_replaced(clip: MakeClip) -> None:
    path = clip(LONG)
    with Farm(DEFAULT_CONFIG) as farm, Publisher(farm.url("a"), path, loop=True) as publisher:
        farm.wait_stream("a")
        with Player(farm.url("a", "240p")) as player:
            assert player.opened.wait(15)
            until(lambda: player.recording.video, 10, "pictures")
            before = {c["name"]: c["pid"] for c in farm.status()["children"]}
            shutil.rmtree(farm.run_dir)
            removed_s = time.monotonic()

            def heals() -> bool:
                """All run, and whoever may bind no new socket is another process."""
                if not (farm.run_dir / "control").exists():
                    return False
                children = {c["name"]: c for c in farm.status()["children"]}
                return (
                    all(c["state"] == "ready" for c in children.values())
                    and children["worker:cpu:0"]["pid"] != before["worker:cpu:0"]
                )

            until(heals, 20, "the farm heals", every=0.1)
            print(f"healed after {time.monotonic() - removed_s:.1f} s")
            after = {c["name"]: c["pid"] for c in farm.status()["children"]}
            assert [after[n] for n in ("ingest:0", "egress:0")] == [
                before[n] for n in ("ingest:0", "egress:0")
            ]
            with Player(farm.url("a", "240p"), enough=frames(20)) as newcomer:
                newcomer.join(15)
            os.kill(after["worker:cpu:0"], signal.SIGKILL)
            had = len(player.recording.video)
            until(lambda: len(player.recording.video) > had + 60, 15, "pictures of the next worker")
            with Publisher(farm.url("b"), path, loop=True):
                farm.wait_stream("b")
                with Player(farm.url("b", "144p"), enough=frames(10)) as other:
                    other.join(15)
            assert player.is_running
            assert publisher.is_running
            player.stop()
        assert player.recording.decode_error == ""

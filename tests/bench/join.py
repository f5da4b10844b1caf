"""A player's time to its first decodable picture, with `start=gop`: fifty joining over two seconds.

From the connect to the first keyframe's last byte; beside it nginx-rtmp, which has no GOP cache.
"""

import statistics
import threading
import time
from collections.abc import Sequence

from common.rtmp.blocking_client import RtmpPlayer
from common.rtmp.events import VideoReceived
from tests.bench import footage, peers
from tests.bench.ladder import HD_LADDER, config
from tests.bench.report import Bench, Figure
from tests.kit.clients import Publisher
from tests.kit.farm import Farm

PLAYERS = 50
OVER_S = 2.0


def join_times_ms(url: str, players: int = PLAYERS) -> list[float]:
    taken: list[float] = []

    def join(at_s: float) -> None:
        time.sleep(max(0.0, at_s - time.monotonic()))
        began = time.monotonic()
        with RtmpPlayer(url, 15) as player:
            for event in player:
                if isinstance(event, VideoReceived) and event.payload[:2] == b"\x17\x01":
                    taken.append((time.monotonic() - began) * 1000)
                    return

    start_s = time.monotonic() + 0.1
    threads = [
        threading.Thread(target=join, args=(start_s + OVER_S * n / players,))
        for n in range(players)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(taken) == players
    return taken


def run(bench: Bench) -> None:
    with footage.workspace() as folder:
        clip = footage.numbered(folder, footage.HD)
        ours: dict[str, list[list[float]]] = {}
        with (
            Farm(config(HD_LADDER), standbys=True) as farm,
            Publisher(farm.url("cam"), clip, loop=True),
        ):
            farm.wait_stream("cam")
            time.sleep(3)
            for name in ("source", "360p"):
                ours[name] = [join_times_ms(farm.url("cam", name)) for _ in range(bench.runs)]
        theirs = None
        if peers.has_nginx():
            application = "application live { live on; wait_key on; }"
            with peers.nginx_rtmp(folder, application) as (port, _):
                url = f"rtmp://127.0.0.1:{port}/live/cam"
                with Publisher(url, clip, loop=True):
                    time.sleep(3)
                    theirs = _middle([join_times_ms(url) for _ in range(bench.runs)])
        else:
            bench.say("join: nginx with libnginx-mod-rtmp is not installed")
        for name, runs in ours.items():
            median = _middle(runs)
            bench.add(Figure(f"join {name}, median", median, "ms", 60.0))
            slowest = max(max(taken) for taken in runs)
            bench.add(Figure(f"join {name}, slowest", slowest, "ms", 150.0))
            if theirs is not None:
                title = f"join {name}, median, beside it"
                bench.add(Figure(title, median, "ms", None, "nginx-rtmp", theirs))


def _middle(runs: Sequence[Sequence[float]]) -> float:
    return statistics.median(statistics.median(taken) for taken in runs)

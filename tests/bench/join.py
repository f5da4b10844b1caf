"""A player's time to its first decodable picture, with `start=gop`: fifty joining over two seconds.

From the connect to the first keyframe's last byte; beside it nginx-rtmp, which has no GOP cache.
"""

import statistics
import threading
import time

from common.rtmp.events import VideoReceived
from common.rtmp_peer import RtmpPlayer
from tests.bench import footage, peers
from tests.bench.ladder import HD_LADDER, config
from tests.bench.report import Bench, Figure
from tests.helpers_farm import Farm
from tests.helpers_media import Publisher

PLAYERS = 50
OVER_S = 2.0


def join_times_ms(url: str) -> list[float]:
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
        threading.Thread(target=join, args=(start_s + OVER_S * n / PLAYERS,))
        for n in range(PLAYERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(taken) == PLAYERS
    return taken


def run(bench: Bench) -> None:
    with footage.workspace() as folder:
        clip = footage.numbered(folder, footage.HD)
        with Farm(config(HD_LADDER)) as farm, Publisher(farm.url("cam"), clip, loop=True):
            farm.wait_stream("cam")
            time.sleep(3)
            for name in ("source", "360p"):
                _add(bench, f"join {name}", farm.url("cam", name))
        if not peers.has_nginx():
            bench.say("join: nginx with libnginx-mod-rtmp is not installed")
            return
        application = "application live { live on; wait_key on; }"
        with peers.nginx_rtmp(folder, application) as (port, _):
            url = f"rtmp://127.0.0.1:{port}/live/cam"
            with Publisher(url, clip, loop=True):
                time.sleep(3)
                taken = join_times_ms(url)
        bench.add(Figure("join nginx-rtmp, median", statistics.median(taken), "ms"))


def _add(bench: Bench, name: str, url: str) -> None:
    runs = [join_times_ms(url) for _ in range(bench.runs)]
    medians = [statistics.median(taken) for taken in runs]
    bench.add(Figure(f"{name}, median", statistics.median(medians), "ms", 60.0))
    bench.add(Figure(f"{name}, slowest", max(max(taken) for taken in runs), "ms", 150.0))

"""How long the first viewer of a stream that runs waits for his first playlist of HLS.

In a whole farm, from his request to the playlist of a rendition, which lists a whole segment. Each
stream is asked for once, since it is cut for a while after that.
"""

import statistics
import time
import urllib.request
from contextlib import ExitStack

from common.config.settings import WebSettings
from tests.bench import footage
from tests.bench.ladder import SMALL, SMALL_LADDER, config
from tests.bench.report import Bench, Figure
from tests.kit.clients import Publisher
from tests.kit.farm import Farm

STREAMS = 4
NAME = SMALL_LADDER[0][0]
RUN_S = 6.0  # until every stream is older than two GOPs
APART_S = 0.7  # so that viewers come at any moment of a GOP
FARM = (
    config(SMALL_LADDER).replace("[listen]\n", '[listen]\nhttp = "127.0.0.1:0"\n', 1)
    + "\n[web]\nenabled = true\n"
)


def first_playlist_ms(address: str, key: str) -> float:
    began = time.monotonic()
    url = f"http://{address}/live/{key}/{NAME}/index.m3u8"
    with urllib.request.urlopen(url) as response:  # nosec B310 # ours
        text = response.read().decode()
    assert "#EXTINF" in text
    return (time.monotonic() - began) * 1000


def run(bench: Bench) -> None:
    keys = [f"cam{number}" for number in range(STREAMS)]
    with footage.workspace() as folder, Farm(FARM, standbys=True) as farm, ExitStack() as stack:
        clip = footage.numbered(folder, SMALL)
        for key in keys:
            stack.enter_context(Publisher(farm.url(key), clip, loop=True))
        farm.wait_stream(*keys, timeout=30)
        time.sleep(RUN_S)
        (address,) = farm.status()["listen"]["web"]
        taken = []
        for key in keys:
            taken.append(first_playlist_ms(address, key))
            time.sleep(APART_S)
    part_ms = WebSettings().part_s * 1000
    bench.add(Figure("first HLS playlist, median", statistics.median(taken), "ms"))
    bench.add(Figure("first HLS playlist, slowest", max(taken), "ms", part_ms))

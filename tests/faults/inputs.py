"""Faults of processes that speak with publishers: srt and whip, killed while somebody sends.

Beside the streams of every row there is one by the protocol, whose players stay; its publisher
connects anew.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable

from tests.attacks.srt import publishes
from tests.faults.processes import await_pictures
from tests.faults.scene import CLIP, KEYS, RENDITION, Result, Scene, clip
from tests.kit.waiting import until
from tests.kit.whip_client import WhipPublisher

KEY = "far"
PLAYERS = 4
BACK_S = 10.0  # libsrt itself takes 5 s to find that the other end is gone
WEB = "[web]\nenabled = true\n[webrtc]\nenabled = false\n"


def kill_srt() -> Result:
    with Scene(listen='srt = "127.0.0.1:0"') as scene:
        (address,) = scene.farm.status()["listen"]["srt"]

        def again(lost: "subprocess.Popen[bytes]", on: contextlib.ExitStack) -> None:
            lost.wait(30)
            on.enter_context(publishes(clip(CLIP), address, KEY))

        with contextlib.ExitStack() as on:
            first = on.enter_context(publishes(clip(CLIP), address, KEY))
            return _killed(scene, "srt", lambda: again(first, on))


def kill_whip() -> Result:
    listen = 'http = "127.0.0.1:0"\nwhip = "127.0.0.1:0"'
    with Scene(more=WEB, listen=listen) as scene:
        scene.farm.wait_log("peers=publishers")
        (http,) = scene.farm.status()["listen"]["web"]
        url = f"http://{http}/live/{KEY}/whip"
        with contextlib.ExitStack() as on:
            on.enter_context(WhipPublisher(url, clip(CLIP)))

            def again() -> None:
                until(lambda: _is_taken(on, url), 15, "the publisher is back", every=0.2)

            return _killed(scene, "whip", again)


def _is_taken(on: contextlib.ExitStack, url: str) -> bool:
    try:
        on.enter_context(WhipPublisher(url, clip(CLIP)))
    except AssertionError:
        return False
    return True


def _killed(scene: Scene, kind: str, again: Callable[[], None]) -> Result:
    scene.farm.wait_stream(KEY, timeout=20)
    for _ in range(PLAYERS):
        scene.load.play(scene.farm.url(KEY, RENDITION), KEY, RENDITION)
    scene.wait_for_pictures()
    sent = {key: publisher.losses for key, publisher in scene.load.publishers.items()}
    at = time.monotonic()
    os.kill(scene.pid(kind), signal.SIGKILL)
    until(lambda: not scene.farm.streams()[KEY]["is_live"], 10, "its publisher is missed")
    again()
    until(lambda: scene.farm.streams()[KEY]["is_live"], 15, "its publisher is back")
    back_s = time.monotonic() - at
    await_pictures(scene, [*KEYS, KEY], time.monotonic())
    row = scene.judge(f"kill -9 {kind}; its publisher connects anew", (), at)
    row.affected, row.lost, row.first_frame_s = 1, None, back_s
    cut = [key for key, publisher in scene.load.publishers.items() if publisher.losses != sent[key]]
    row.limit = f"publisher back ≤ {BACK_S:g} s, all players stay, other streams lose 0"
    row.note = f"it was back after {back_s:.1f} s" + (f"; PUBLISHERS CUT {cut}" if cut else "")
    row.ok = (
        back_s <= BACK_S
        and row.disconnected == 0
        and row.others_lost == 0
        and row.repeated == 0
        and not cut
    )
    return row

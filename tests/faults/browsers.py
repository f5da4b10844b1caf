"""Faults as viewers in browsers see them: by each way that is served, in frames of one page.

The frames are the page of `/play/APP/KEY`. None is loaded anew: its document is the same then.
"""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.request import urlopen

from common.extras import WEBRTC, is_installed
from tests.faults.scene import Result, Scene
from tests.kit.browser import Browser
from tests.kit.farm import tfarm
from tests.kit.waiting import until

KEY = "cam0"
MOST_S = 8.0  # without a new picture
AWAY_S = 4.0
HOLD_S = 2.0  # of a stream whose publisher is away for longer
LONG_AWAY_S = 8.0
UPGRADE_S = 180.0  # for all processes, one after the other
STEADY_S = 3.0  # before the fault, and after it
START_S = 60.0  # until all play, several decoders on two cores
OPTIONS = ("--autoplay-policy=no-user-gesture-required", "--disable-renderer-backgrounding")

_FRAMES = """((ways, target) => {
  document.body.replaceChildren();
  globalThis.viewers = ways.map((way) => {
    const frame = document.createElement('iframe');
    frame.src = `${target}?way=${way}&muted=yes`;
    frame.allow = 'autoplay';
    frame.width = 426;
    frame.height = 300;
    document.body.append(frame);
    return { way, frame, times: [], inside: null };
  });
  return true;
})"""
_PLAYING = """viewers.every(({ frame }) =>
  frame.contentDocument?.querySelector('main')?.dataset.phase === 'playing')"""
_WATCH = """viewers.forEach((viewer) => {
  viewer.inside = viewer.frame.contentDocument;
  const video = viewer.inside.querySelector('video');
  const onPicture = () => {
    viewer.times.push(Date.now());
    video.requestVideoFrameCallback(onPicture);
  };
  video.requestVideoFrameCallback(onPicture);
})"""
_TAKE = """viewers.map(({ way, frame, times, inside }) => ({ way, times,
  isSame: frame.contentDocument === inside, words: inside.getElementById('words').textContent,
  opens: inside.querySelector('main').dataset.opens }))"""


@dataclass(frozen=True)
class Watched:
    """One way, over a fault."""

    way: str
    wait_s: float  # the longest without a new picture, from the fault on
    goes_on: bool  # pictures come, just now
    is_same: bool  # document as before
    opens: int  # that the page opened a way, over all


def ways_of(base: str) -> list[str]:
    """Return the ways that are served."""
    with urlopen(f"{base}play/live/{KEY}/stream.json", timeout=10) as response:  # http
        return [str(way) for way in json.load(response)["ways"]]


def watched(seen: dict[str, Any], at_ms: float, now_ms: float) -> Watched:
    """Judge what one frame has seen; times are Unix times in milliseconds."""
    times = [at for at in seen["times"] if at > at_ms - 500]
    waits = [after - before for before, after in zip(times, [*times[1:], now_ms], strict=True)]
    goes_on = bool(times) and now_ms - times[-1] < 500
    wait_s = max(waits, default=now_ms) / 1000
    return Watched(seen["way"], wait_s, goes_on, seen["isSame"], int(seen["opens"]))


def _seen(
    fault: str, strike: Callable[[Scene], object], *, away_s: float = 0.0, hold: str = "15s"
) -> Result:
    """Have browsers watch a fault; `away_s`: so long there is no publisher, beyond `hold`."""
    most_s = MOST_S + away_s
    web = "\n[web]\nenabled = true\n"
    if is_installed(WEBRTC):
        web += '[webrtc]\nenabled = true\nlisten = "127.0.0.1:0"\n'
    scene = Scene(
        more=web, listen='http = "127.0.0.1:0"', keys=(KEY,), players_a_stream=1, hold=hold
    )
    with scene, Browser(*OPTIONS) as browser:
        (address,) = scene.farm.status()["listen"]["web"]
        base = f"http://{address}/"
        ways = ways_of(base)
        browser.open(f"{base}player/0/hls.LICENSE.txt")
        browser.evaluate(f"{_FRAMES}({json.dumps(ways)}, '/play/live/{KEY}/{scene.rendition}')")
        browser.wait(_PLAYING, START_S, f"all of {ways} play")
        browser.evaluate(_WATCH)
        time.sleep(STEADY_S)
        at = time.time()
        strike(scene)

        def all_go_on() -> bool:
            now = time.time()
            if now - at < STEADY_S:
                return False
            return all(watched(s, at * 1000, now * 1000).goes_on for s in browser.evaluate(_TAKE))

        until(all_go_on, 3 * MOST_S, f"all of {ways} show pictures again", every=0.25)
        time.sleep(STEADY_S)
        found = [watched(s, at * 1000, time.time() * 1000) for s in browser.evaluate(_TAKE)]
    return Result(
        fault,
        affected=1,
        limit=f"every way shows pictures again by itself, ≤ {most_s:.0f} s, without a reload",
        browsers=", ".join(f"{one.way} {one.wait_s:.1f} s" for one in found),
        ok=all(one.is_same and one.wait_s <= most_s for one in found),
    )


def _kill(child: str) -> Callable[[Scene], None]:
    def strike(scene: Scene) -> None:
        os.kill(scene.pid(child), signal.SIGKILL)

    return strike


def _kill_its_worker(scene: Scene) -> None:
    os.kill(scene.pid(str(scene.farm.streams()[KEY]["worker"])), signal.SIGKILL)


def _leave_for(seconds: float) -> Callable[[Scene], None]:
    def strike(scene: Scene) -> None:
        gone = scene.publisher(KEY)
        scene.load.ask(gone.leave)
        time.sleep(seconds)
        back = scene.load.publish(scene.farm.url(KEY), KEY, gone.script)
        until(lambda: back.is_in, 8, "the publisher is back")

    return strike


def _upgrade(scene: Scene) -> None:
    done = tfarm("upgrade", "--run-dir", str(scene.farm.run_dir), timeout=UPGRADE_S)
    assert done.returncode == 0, done.stdout + done.stderr


def browsers_worker() -> Result:
    return _seen("in a browser: kill -9 a worker", _kill_its_worker)


def browsers_egress() -> Result:
    return _seen("in a browser: kill -9 egress", _kill("egress:"))


def browsers_web() -> Result:
    return _seen("in a browser: kill -9 web", _kill("web:"))


def browsers_rtc() -> Result:
    return _seen("in a browser: kill -9 rtc", _kill("rtc"))


def browsers_publisher() -> Result:
    return _seen(f"in a browser: publisher gone, back after {AWAY_S:.0f} s", _leave_for(AWAY_S))


def browsers_publisher_long() -> Result:
    return _seen(
        f"in a browser: publisher gone for {LONG_AWAY_S:.0f} s, `hold` {HOLD_S:.0f} s",
        _leave_for(LONG_AWAY_S),
        away_s=LONG_AWAY_S,
        hold=f"{HOLD_S:.0f}s",
    )


def browsers_upgrade() -> Result:
    return _seen("in a browser: `tfarm upgrade`", _upgrade)

"""Players that pages use, in Chromium: how many pictures they show of an address, and what fails.

The libraries are npm's: the page's own (`egress/web/player`), and those of `build/players`.
"""

import json
import time
from pathlib import Path
from typing import Final

from tests.browsers.rig import OPTIONS
from tests.http_clients.programs import Play, Played
from tests.http_clients.variants import Variant
from tests.kit.browser import Browser, PageFailed

ROOT: Final = Path(__file__).parents[2]
VENDORED: Final = ROOT / "egress" / "web" / "player"
PLAYERS: Final = ROOT / "build" / "players"
START_S: Final = 30.0
_PAGE: Final = (
    "document.body.replaceChildren(); document.title = 'bare';"
    "globalThis.errors = [];"
    "const video = document.createElement('video'); video.autoplay = true; video.muted = true;"
    "document.body.append(video); true"
)
_SCRIPTS: Final = {
    "hls": """(() => {
  const player = new Hls({ lowLatencyMode: true });
  player.on(Hls.Events.ERROR, (_, { details, fatal }) => {
    if (fatal) globalThis.errors.push(`hls.js ${details}`);
  });
  player.loadSource(URL);
  player.attachMedia(document.querySelector('video'));
  return true;
})()""",
    "shaka-player": """(async () => {
  shaka.polyfill.installAll();
  const player = new shaka.Player();
  await player.attach(document.querySelector('video'));
  player.configure({ streaming: { lowLatencyMode: true } });
  player.addEventListener('error', ({ detail }) => globalThis.errors.push(`shaka ${detail.code}`));
  await player.load(URL);
  return true;
})()""",
    "dash": """(() => {
  const player = dashjs.MediaPlayer().create();
  player.on('error', ({ error }) => globalThis.errors.push(`dash.js ${error?.message}`));
  player.initialize(document.querySelector('video'), URL, true);
  return true;
})()""",
    "mpegts": """(() => {
  const player = mpegts.createPlayer({ type: 'flv', isLive: true, url: URL });
  player.on('error', (kind, detail) => globalThis.errors.push(`mpegts.js ${kind} ${detail}`));
  player.attachMediaElement(document.querySelector('video'));
  player.load();
  player.play();
  return true;
})()""",
}
_SHOWN: Final = "document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames"
_FAULTS: Final = """(() => {
  const { error } = document.querySelector('video');
  return [...globalThis.errors, ...(error ? [`error ${error.code}: ${error.message}`] : [])];
})()"""


def by(name: str) -> Play:
    """Play by the library of this file name."""

    def play(url: str, variant: Variant, seconds: float) -> Played:
        base = url.partition("/live/")[0]
        with Browser(*OPTIONS) as browser:
            browser.open(f"{base}/player/0/hls.LICENSE.txt")  # a page of this server, and empty
            browser.evaluate(_PAGE)
            browser.evaluate(library(name).read_text() + "; true")
            try:
                browser.evaluate(_SCRIPTS[name].replace("URL", json.dumps(url), 1))
                browser.wait("document.querySelector('video').currentTime > 0", START_S, name)
            except (PageFailed, AssertionError) as error:
                return Played(0, (*browser.evaluate(_FAULTS), f"{error}"))
            before = browser.evaluate(_SHOWN)
            time.sleep(seconds)
            return Played(browser.evaluate(_SHOWN) - before, tuple(browser.evaluate(_FAULTS)))

    return play


def library(name: str) -> Path:
    """Return where a library is, or would be."""
    own = VENDORED / f"{name}.js"
    return own if own.exists() else PLAYERS / f"{name}.js"


def found_players() -> dict[str, tuple[str, Play]]:
    """Return, of each player that is there, the kinds of addresses that it plays and how."""
    versions = {
        package["name"]: package["version"]
        for folder in (VENDORED, ROOT / "tests" / "browsers")
        for package in json.loads((folder / "vendored.json").read_text())["packages"]
    }
    table = (
        ("hls.js", "hls", ("hls",)),
        ("shaka-player", "shaka-player", ("hls", "dash")),
        ("dashjs", "dash", ("dash",)),
        ("mpegts.js", "mpegts", ("flv",)),
    )
    return {
        f"{name} {versions[name]}": (" ".join(kinds), by(file))
        for name, file, kinds in table
        if library(file).exists()
    }

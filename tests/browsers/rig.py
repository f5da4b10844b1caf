"""A farm, a publisher whose pictures carry their number, and a viewer in Chromium who is measured.

The viewer is the page of `/play/APP/KEY`, by the way that is asked for; or a player that npm has,
on an empty page of the same server (`make build/players/.made` fetches those); or a plain file,
without tfarm: what the browser and the script do by themselves.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

from common.extras import WEBRTC, is_installed
from tests.browsers.figures import Figures, counted, figures
from tests.browsers.plain_file import write_plain_file
from tests.kit.browser import Browser, PageFailed
from tests.kit.clips import ClipSpec, make_clip
from tests.kit.clock_publisher import HD, PULSES, SMALL, ClockPublisher
from tests.kit.farm import Farm
from tests.kit.waiting import until

ROOT: Final = Path(__file__).parents[2]
MEASURE: Final = (Path(__file__).parent / "measure.js").read_text().strip()
PLAYERS: Final = ROOT / "build" / "players"
KEY: Final = "clock"
FILE: Final = "file"  # the way that is none of tfarm's
WARM_UP_S: Final = 4.0  # while a player finds its place
START_S: Final = 40.0  # for the first picture, on a busy machine
OPTIONS: Final = (
    "--autoplay-policy=no-user-gesture-required",
    # one tab that nobody looks at is neither slowed down nor put behind
    *("--disable-background-timer-throttling", "--disable-renderer-backgrounding"),
    "--disable-backgrounding-occluded-windows",
    "--allow-file-access-from-files",  # a script may read the pictures of a plain file
)
CONFIG: Final = """
[listen]
rtmp = "127.0.0.1:0"
http = "127.0.0.1:0"
[devices]
use_gpus = {gpus}
[software]
workers = 1
[worker]
queue = "10s"
[api]
enabled = false
[web]
enabled = true
[webrtc]
enabled = {webrtc}
listen = "127.0.0.1:0"
{more}
[templates.live]
gop = "{gop}"
hold = "{hold}"
policy = {policy}
[[templates.live.renditions]]
name = "{name}"
width = {width}
height = {height}
bitrate = "{bitrate}"
"""


@dataclass(frozen=True)
class Size:
    """What is published, and the one rendition that is made of it."""

    spec: ClipSpec
    rendition: str
    bitrate: str

    def config(self, *, hold: str = "10s", more: str = "", gpus: bool = False) -> str:
        """A farm's configuration; with `gpus`, its GPUs decode and scale."""
        policy = ["gpu-only", "hybrid"] if gpus else ["software"]
        gop = f"{self.spec.gop_frames / self.spec.fps}s".replace("/1", "")
        return CONFIG.format(
            more=more,
            webrtc=str(is_installed(WEBRTC)).lower(),
            gop=gop,
            hold=hold,
            gpus=str(gpus).lower(),
            policy=json.dumps(policy),
            name=self.rendition,
            width=self.spec.width,
            height=self.spec.height,
            bitrate=self.bitrate,
        )


SIZES: Final = {"720p": Size(HD, "720p", "2500k"), "360p": Size(SMALL, "360p", "800k")}

# The element that a player of npm's plays in, in a page that is empty.
_BARE: Final = (
    "document.body.replaceChildren(); document.title = 'bare';"
    "const video = document.createElement('video'); video.autoplay = true; video.id = 'bare';"
    "video.style.width = '100%'; document.body.append(video); true"
)
_SHAKA: Final = """(async () => {
  shaka.polyfill.installAll();
  const player = new shaka.Player();
  await player.attach(document.querySelector('video'));
  player.configure({ streaming: { lowLatencyMode: true, rebufferingGoal: 0.01,
    liveSync: { enabled: true, maxPlaybackRate: 1.1, minPlaybackRate: 0.95 } } });
  globalThis.errors = [];
  const words = ({ code, data }) => `shaka ${code} ${String(data).slice(0, 200)}`;
  player.addEventListener('error', ({ detail }) => globalThis.errors.push(words(detail)));
  await player.load(URL).catch((error) => { throw new Error(words(error)); });
})()"""
_DASHJS: Final = """(() => {
  const player = dashjs.MediaPlayer().create();
  globalThis.errors = [];
  player.on('error', ({ error }) => globalThis.errors.push(`dash.js ${error?.message}`));
  player.updateSettings({ streaming: { delay: { liveDelay: 1.5 },
    liveCatchup: { enabled: true } } });
  player.initialize(document.querySelector('video'), URL, true);
  return true;
})()"""


class NotMeasured(Exception):
    """The viewer has seen nothing, or the way is not served."""


GONE: Final = (OSError, AssertionError)  # what a browser raises that has ended, or hangs


@dataclass(frozen=True)
class Measured:
    """One viewer."""

    way: str
    figures: Figures
    dropped: int  # pictures that the browser decoded and did not show
    faults: tuple[str, ...]  # decode errors, and what the page and its libraries complained of
    is_whole: bool  # the browser answered to the end


@dataclass(frozen=True)
class Stage:
    """A farm with its publisher."""

    farm: Farm
    publisher: ClockPublisher
    base: str  # of the viewers' server, with a slash at the end
    size: Size
    clip: Path  # what is published
    watched_s: float  # the longest that a viewer watches


@contextmanager
def stage(folder: Path, size: Size, watched_s: float = 60.0, **config: Any) -> Iterator[Stage]:
    """Let a farm run, with its publisher in."""
    clip = folder / f"{size.rendition}.flv"
    if not clip.exists():
        make_clip(clip, size.spec)
    with Farm(size.config(**config)) as farm, ClockPublisher(farm.url(KEY), clip) as publisher:
        farm.wait_stream(KEY, timeout=START_S)
        yield Stage(farm, publisher, base_of(farm), size, clip, watched_s)


def base_of(farm: Farm) -> str:
    """Return where viewers of a farm connect."""
    (address,) = farm.status()["listen"]["web"]
    return f"http://{address}/"


def open_page(way: str) -> Callable[[Browser, Stage], None]:
    """Open the page by one way."""

    def opens(browser: Browser, on: Stage) -> None:
        browser.open(f"{on.base}play/live/{KEY}/{on.size.rendition}?way={way}")
        state = "JSON.stringify(document.querySelector('main').dataset)"
        try:
            browser.wait("document.querySelector('main').dataset.phase === 'playing'", START_S, way)
        except AssertionError as error:
            words = browser.evaluate("document.getElementById('words').textContent")
            raise NotMeasured(f"{error}: {browser.evaluate(state)} {words}") from None

    return opens


def open_file(browser: Browser, on: Stage) -> None:
    """Play the clip as a file."""
    file, page = on.clip.with_suffix(".mp4"), on.clip.with_suffix(".html")
    write_plain_file(on.clip, file, on.watched_s + START_S)
    page.write_text(
        f'<!doctype html><video autoplay style="width: 100%" src="{file.name}"></video>'
    )
    browser.open(page.as_uri())
    browser.wait("document.querySelector('video').currentTime > 0", START_S, FILE)


def has_gap(on: Stage) -> bool:
    """Tell if HLS begins with a gap, as it does for a moment: shaka-player 5.2 fails at that."""
    with urlopen(f"{on.base}live/{KEY}/{on.size.rendition}/index.m3u8", timeout=15) as response:
        return b"#EXT-X-GAP" in response.read()


def open_player(name: str, script: str, rest: str) -> Callable[[Browser, Stage], None]:
    """Open a player that npm has, and have it play an address of the stream."""

    def opens(browser: Browser, on: Stage) -> None:
        library = PLAYERS / f"{name}.js"
        if not library.exists():
            raise NotMeasured(f"{library.name} is not there: make build/players/.made")
        if rest.endswith(".m3u8"):
            until(lambda: not has_gap(on), START_S, "the playlist has no gap in front", every=0.5)
        browser.open(f"{on.base}player/0/hls.LICENSE.txt")
        browser.evaluate(_BARE)
        browser.evaluate(library.read_text() + "; true")
        url = json.dumps(f"{on.base}live/{KEY}/{rest}")
        try:
            browser.evaluate(script.replace("URL", url))
        except PageFailed as error:
            raise NotMeasured(f"{name}: {error}") from None
        plays = "document.querySelector('video').currentTime > 0"
        try:
            browser.wait(plays, START_S, name)
        except AssertionError as error:
            raise NotMeasured(f"{error}: {browser.evaluate('String(globalThis.errors)')}") from None

    return opens


WAYS: Final = {
    FILE: open_file,
    "whep": open_page("whep"),
    "hls": open_page("hls"),
    "flv": open_page("flv"),
    "shaka": open_player("shaka-player", _SHAKA, "index.m3u8"),
    "shaka-dash": open_player("shaka-player", _SHAKA, "index.mpd"),
    "dashjs": open_player("dash", _DASHJS, "index.mpd"),
}


def served(on: Stage) -> list[str]:
    """Return the ways that can be watched: those of the page, and what `build/players` has."""
    with urlopen(f"{on.base}play/live/{KEY}/stream.json", timeout=10) as response:
        ways = [str(way) for way in json.load(response)["ways"]]
    if "hls" in ways and (PLAYERS / "shaka-player.js").exists():
        ways.append("shaka")
    return [FILE, *ways]


def watch(
    ways: Sequence[str], on: Stage, seconds: float
) -> Iterator[tuple[str, Measured | NotMeasured]]:
    """Watch for some seconds by several ways at the same time, each in a Chromium of its own.

    Measuring begins when all of them play: a browser that starts takes much of a machine.
    """
    with ExitStack() as browsers, ThreadPoolExecutor(len(ways)) as pool:

        def begun(way: str) -> Browser | NotMeasured:
            try:
                browser = browsers.enter_context(Browser(*OPTIONS))
                _begin(browser, way, on)
            except NotMeasured as error:
                return error
            except GONE as error:
                return NotMeasured(f"{type(error).__name__}: {error}")
            return browser

        def seen(way: str, begun: Browser | NotMeasured) -> Measured | NotMeasured:
            if isinstance(begun, NotMeasured):
                return begun
            try:
                return _look(begun, way, on, seconds)
            except NotMeasured as error:
                return error

        yield from zip(ways, pool.map(seen, ways, list(pool.map(begun, ways))), strict=True)


def _begin(browser: Browser, way: str, on: Stage) -> None:
    """Have it play, and the script look.

    Raises:
        NotMeasured: it does not play.
    """
    WAYS[way](browser, on)
    video = "document.querySelector('video')"
    options = json.dumps({"hears": True})
    browser.evaluate(f"({MEASURE})({video}, {options})")
    time.sleep(WARM_UP_S)


def _look(browser: Browser, way: str, on: Stage, seconds: float) -> Measured:
    """Take what the script has seen, for some seconds, or until the browser does not answer.

    Raises:
        NotMeasured: nothing was seen.
    """
    parts: list[dict[str, Any]] = []
    errors: list[str] = []
    end = time.monotonic() + seconds
    try:
        first = browser.evaluate("measured.take()")
        browser.console.clear()  # of the time when it began
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(5.0, left))
            parts.append(browser.evaluate("measured.take()"))
        errors = browser.evaluate("globalThis.errors ?? []")
    except GONE as error:
        errors.append(f"error: ended early: {error}")
    if not parts:
        raise NotMeasured("; ".join(errors))
    last = parts[-1]
    shown = [(int(number), float(at_ms)) for part in parts for number, at_ms in part["pictures"]]
    pulses = [float(at_ms) for part in parts for at_ms in part["pulses"]]
    watched_ms = float(first["now"]), float(last["now"])
    try:
        found = figures(list(on.publisher.sent), shown, pulses, PULSES, watched_ms)
    except ValueError as error:
        raise NotMeasured(str(error)) from None
    _, anew = counted([part["total"] for part in (first, *parts)])
    if anew:
        errors.append(f"the player began anew {anew} times")
    dropped, _ = counted([part["dropped"] for part in (first, *parts)])
    return Measured(
        way,
        found,
        dropped,
        (*last["faults"], *errors, *browser.console),
        is_whole=time.monotonic() >= end,
    )

"""`python -m tests.screenshots [FOLDER]`: draws docs/images anew, from a farm with some streams.

The API's page and the one for viewers in Chromium, and `tfarm status` in an xterm. Needs
chromium, ffmpeg, xterm, xvfb and ImageMagick, and takes about a minute.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.kit.browser import Browser
from tests.kit.farm import SMALL_LADDER, TFARM, Farm
from tests.kit.waiting import until

IMAGES = Path(__file__).parents[2] / "docs" / "images"
SECONDS = 12
LIFE = (
    "life=size=160x90:mold=10:rate=25:ratio=0.2:death_color=#206030:life_color=#c0ff70,"
    "scale=640x360:flags=neighbor"
)
# App, key, and what ffmpeg draws.
FOOTAGE = (
    ("live", "stage", "mandelbrot=size=640x360:rate=25:start_scale=0.2"),
    ("live", "arena", "testsrc2=size=640x360:rate=25"),
    ("live", "studio", "smptehdbars=size=640x360:rate=25"),
    ("live", "garden", LIFE),
    ("events", "keynote", "gradients=size=640x360:rate=25:c0=navy:c1=orange:speed=0.03"),
    ("events", "workshop", "sierpinski=size=640x360:rate=25"),
)
PLAYERS = (
    ("live/stage/240p", 4),
    ("live/arena", 2),
    ("live/arena/144p", 3),
    ("events/keynote/240p", 5),
)
CONFIG = f"""
[listen]
rtmp = "127.0.0.1:0"
http = "127.0.0.1:0"
[devices]
use_gpus = false
[web]
enabled = true
[api]
listen = "127.0.0.1:0"
[templates.live]
publish_keys = ["screenshots-live"]
{SMALL_LADDER}
[templates.events]
publish_keys = ["screenshots-events"]
{SMALL_LADDER.replace("templates.live", "templates.events")}
"""


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        clips = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tfarm-clips-")))
        made = {key: clip(clips / f"{key}.flv", drawn) for _, key, drawn in FOOTAGE}
        farm = stack.enter_context(Farm(CONFIG, standbys=True))
        for app, key, _ in FOOTAGE:
            url = farm.url(key, query=f"key=screenshots-{app}", app=app)
            source = ("-re", "-stream_loop", "-1", "-i", str(made[key]))
            stack.enter_context(running(*source, "-c", "copy", "-f", "flv", url))
        until(lambda: has_started(farm), 30, "all streams are made")
        for path, count in PLAYERS:
            app, _, name = path.partition("/")
            for _ in range(count):
                played = farm.url(name, app=app)
                stack.enter_context(running("-i", played, "-c", "copy", "-f", "null", "-"))
        time.sleep(12.0)  # rates are over some seconds
        draw_page(farm, folder)
        draw_player(farm, folder)
        draw_status(farm, folder / "status.png")
    for drawn in sorted(folder.glob("*.png")):
        shrink(drawn)
        print(f"{drawn} {drawn.stat().st_size // 1024} KiB")
    return 0


def clip(path: Path, drawn: str) -> Path:
    """Some seconds of test footage with a tone, as a publisher sends it."""
    ffmpeg(
        *("-f", "lavfi", "-i", drawn, "-f", "lavfi", "-i", "sine=frequency=330:sample_rate=48000"),
        *("-t", str(SECONDS), "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "veryfast"),
        *("-b:v", "900k", "-g", "50", "-bf", "0", "-c:a", "aac", "-b:a", "96k", str(path)),
    ).wait()
    return path


def ffmpeg(*arguments: str) -> "subprocess.Popen[bytes]":
    command = ("ffmpeg", "-nostdin", "-v", "error", "-y", *arguments)
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[None]:
    process = ffmpeg(*arguments)
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


def has_started(farm: Farm) -> bool:
    streams = farm.streams().values()
    return len(streams) == len(FOOTAGE) and all(
        all(rendition["frames"] for rendition in stream["renditions"]) for stream in streams
    )


def draw_page(farm: Farm, folder: Path) -> None:
    (address,) = farm.status()["listen"]["http"]
    with Browser(size=(1280, 980)) as browser:
        browser.look_like(width=1280, height=980, scheme="light")
        browser.open(f"http://{address}/")
        pictures = "document.querySelectorAll('#streams .picture img').length"
        browser.wait(f"{pictures} === {len(FOOTAGE)}", 30, "all pictures are there")
        time.sleep(2.0)
        browser.draw(folder / "page.png")
        browser.look_like(width=1280, height=980, scheme="dark")
        card = "document.querySelector('#streams .card:nth-child(3) .plays button')"
        browser.evaluate(f"{card}.click()")
        video = "document.querySelector('#player video')"
        browser.wait(f"{video}.currentTime > 0 && {video}.readyState > 2", 20, "it plays")
        time.sleep(3.0)
        browser.draw(folder / "page-player.png")
        browser.look_like(width=390, height=844, scheme="dark", is_phone=True)
        time.sleep(2.5)
        browser.draw(folder / "page-phone.png")


def draw_player(farm: Farm, folder: Path) -> None:
    """The page for viewers, light, and dark on a phone."""
    (address,) = farm.status()["listen"]["web"]
    looks = (("player", "stage", 1280, 780, False), ("player-phone", "arena", 390, 844, True))
    with Browser("--autoplay-policy=no-user-gesture-required", size=(1280, 900)) as browser:
        for name, key, width, height, is_phone in looks:
            scheme = "dark" if is_phone else "light"
            browser.look_like(width=width, height=height, scheme=scheme, is_phone=is_phone)
            browser.open(f"http://{address}/play/live/{key}")
            state = "document.querySelector('main').dataset"
            browser.wait(f"{state}.phase === 'playing' && {state}.delay !== ''", 30, "it plays")
            time.sleep(3.0)
            browser.draw(folder / f"{name}.png")


def draw_status(farm: Farm, path: Path) -> None:
    """What a person sees of `tfarm status`, in a terminal of 132 columns."""
    status = f"{TFARM} status --run-dir {farm.run_dir}; sleep 60"
    screen = ("-screen", "0", "1280x800x24", "-nolisten", "tcp", "-displayfd", "1")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(program("Xvfb", *screen))
        assert server.stdout is not None
        display = f":{int(server.stdout.readline())}"
        stack.enter_context(
            program(
                *("xterm", "-display", display, "-geometry", "132x30+0+0", "-b", "12", "+sb"),
                *("-fa", "DejaVu Sans Mono", "-fs", "10", "-bg", "#15181c", "-fg", "#e6e9ec"),
                *("-e", "sh", "-c", f"echo '$ tfarm status'; {status}"),
            )
        )
        time.sleep(4.0)
        environment = os.environ | {"DISPLAY": display}
        subprocess.run(["import", "-window", "root", str(path)], check=True, env=environment)
    subprocess.run(["mogrify", "-trim", "+repage", str(path)], check=True)


@contextlib.contextmanager
def program(*command: str) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=10)


def shrink(path: Path) -> None:
    """Fewer colours, and nothing but pixels."""
    options = ("-strip", "-dither", "None", "-colors", "128")
    level = ("-define", "png:compression-level=9")
    subprocess.run(["mogrify", *options, *level, str(path)], check=True)


if __name__ == "__main__":
    sys.exit(main())

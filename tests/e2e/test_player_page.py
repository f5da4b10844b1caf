"""The page for viewers in Debian's Chromium: what it says, what it plays, what can be chosen."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from tests.kit.browser import Browser
from tests.kit.clients import Publisher
from tests.kit.clips import ClipSpec
from tests.kit.farm import WEB_CONFIG, Farm
from tests.kit.needs import needs_program
from tests.kit.waiting import DEADLINE_S, until

pytestmark = [pytest.mark.e2e, needs_program("chromium")]

MakeClip = Callable[[ClipSpec], Path]
SPEC = ClipSpec(seconds=20.0, fps=Fraction(25), gop_frames=25, b_frames=0)
CONFIG = WEB_CONFIG + '[templates.keyed]\nplay_keys = ["a-key-for-viewers"]\n'
BROWSER = ("--autoplay-policy=no-user-gesture-required",)
STATE = "document.querySelector('main').dataset"
VIDEO = "document.querySelector('video')"
WORDS = "document.getElementById('words').textContent"


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with Farm(CONFIG) as running:
        yield running


def page(farm: Farm, rest: str) -> str:
    (address,) = farm.status()["listen"]["web"]
    return f"http://{address}/play/{rest}"


def choose(browser: Browser, menu: str, value: str) -> None:
    """As with the keyboard: the menu's value, and that it has changed."""
    browser.evaluate(
        f"(() => {{ const menu = document.getElementById({menu!r}); menu.value = {value!r};"
        "menu.dispatchEvent(new Event('change')); })()"
    )


def test_who_may_not_watch_is_told_why_and_asks_no_more(farm: Farm, browser: Browser) -> None:
    browser.open(page(farm, "keyed/cam"))
    browser.wait(f"{STATE}.phase === 'refused'", DEADLINE_S, "it is refused")
    assert "key" in browser.evaluate(WORDS)
    assert not browser.evaluate("document.getElementById('again').hidden")
    assert browser.evaluate(f"{STATE}.opens") == "0"


def test_it_waits_for_a_stream_plays_it_and_lets_choose(
    farm: Farm, browser: Browser, clip: MakeClip
) -> None:
    browser.open(page(farm, "live/cam"))
    browser.wait(f"{WORDS}.includes('nobody publishes')", DEADLINE_S, "it says that nobody does")
    with Publisher(farm.url("cam"), clip(SPEC), loop=True):
        browser.wait(f"{STATE}.phase === 'playing'", DEADLINE_S, "it plays by itself")
        browser.wait(f"{WORDS} === ''", DEADLINE_S, "nothing is said")
        offered = browser.evaluate(
            "[...document.getElementById('quality').options].map(o => o.value)"
        )
        assert offered == ["", "240p", "144p", "source"]
        browser.console.clear()  # of the time when there was no stream
        choose(browser, "way", "flv")
        choose(browser, "quality", "144p")
        playing = f"{STATE}.phase === 'playing' && {STATE}.way === 'flv'"
        browser.wait(f"{playing} && {VIDEO}.videoHeight === 144", DEADLINE_S, "the one chosen")
        browser.wait(f"{VIDEO}.webkitAudioDecodedByteCount > 0", DEADLINE_S, "with its sound")
        browser.wait(f"{STATE}.delay !== ''", DEADLINE_S, "how far behind it is")
        counted = "it is counted as a player"
        until(
            lambda: farm.players("cam", "144p") == {"http-flv": 1}, DEADLINE_S, counted, every=0.2
        )
        assert browser.console == []
    browser.wait(f"{WORDS}.includes('nobody publishes')", DEADLINE_S, "the end is said")

"""The page in Debian's Chromium, where that is installed: it shows what the farm does."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from common.process.log import stream_label
from tests.e2e.test_api import CONFIG, TOKEN, port_of
from tests.kit.browser import Browser
from tests.kit.clients import Publisher
from tests.kit.clips import ClipSpec
from tests.kit.farm import Farm
from tests.kit.needs import needs_program
from tests.kit.waiting import until

pytestmark = [
    pytest.mark.e2e,
    needs_program("chromium"),
]

MakeClip = Callable[[ClipSpec], Path]
SPEC = ClipSpec(seconds=20.0, fps=Fraction(25), gop_frames=25)
PLAY = "#streams .plays button[data-key='240p']"
VIDEO = "document.querySelector('#player video')"
BROWSER = ("--host-resolver-rules=MAP farm.example 127.0.0.1",)
WORD = "document.querySelector('#player .word').textContent"


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with Farm(CONFIG) as running:
        yield running


def test_where_a_token_is_needed_it_asks_for_one(farm: Farm, browser: Browser) -> None:
    """As a name that is none of the loopback's is."""
    browser.open(f"http://farm.example:{port_of(farm)}/")
    browser.wait("document.getElementById('token').open", 15, "it asks")
    assert browser.evaluate("document.body.innerText.includes('A token is needed here.')")
    browser.evaluate(f"document.getElementById('token-text').value = {TOKEN!r}")
    browser.click("#token button[value='use']")
    browser.wait("document.getElementById('state').textContent === 'ready'", 10, "it is let in")


def test_it_shows_a_stream_and_a_click_plays_it_with_picture_and_sound(
    farm: Farm, browser: Browser, clip: MakeClip
) -> None:
    label = stream_label("live/cam")
    browser.open(f"http://127.0.0.1:{port_of(farm)}/")
    browser.console.clear()  # of the page before
    with Publisher(farm.url("cam"), clip(SPEC), loop=True):
        farm.wait_stream("cam")
        browser.wait(f"!!document.querySelector({PLAY!r})", 10, "the rendition is shown")
        names = browser.evaluate("[...document.querySelectorAll('h3')].map((n) => n.textContent)")
        assert {label, "cpu:0"} <= set(names)
        assert browser.evaluate("document.getElementById('state').textContent") == "ready"
        assert "live/cam<" not in browser.evaluate("document.body.innerHTML"), "its key publishes"
        events = "document.getElementById('events').textContent"
        browser.wait(f"{events}.includes('placed on worker:cpu:0')", 10, "its event is shown")
        picture = f"img[alt='last keyframe of {label}'][src^='blob:']"
        browser.wait(f"!!document.querySelector({picture!r})", 10, "its picture is shown")

        browser.click(PLAY)
        browser.wait(f"{VIDEO}.currentTime > 0 && {VIDEO}.videoHeight === 240", 15, "it plays")
        heard = f"{VIDEO}.webkitAudioDecodedByteCount > 0 && !{VIDEO}.muted"
        browser.wait(heard, 10, "its sound is decoded")
        browser.wait(f"{WORD} === '' && !{VIDEO}.paused", 10, "nothing is waited for")
        lag = f"{VIDEO}.buffered.end({VIDEO}.buffered.length - 1) - {VIDEO}.currentTime"
        browser.wait(f"{lag} > 0 && {lag} < 2", 10, "it is at the live edge")
        counted = "it is counted as a player"
        until(lambda: farm.players("cam", "240p") == {"http": 1}, 5, counted, every=0.2)

        browser.press("Escape", 27)
        browser.wait("!document.getElementById('stream').open", 5, "Escape closes it")
        browser.wait(f"!{VIDEO}.hasAttribute('src')", 5, "what it played is ended")
        browser.click(PLAY)
        browser.wait(f"{VIDEO}.currentTime > 0 && !{VIDEO}.paused", 15, "it plays again")
    browser.wait(f"{WORD}.startsWith('Ended')", 10, "the end is said")
    assert browser.console == []

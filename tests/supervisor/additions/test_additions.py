"""supervisor/additions/additions.py: what requests add, and how long the configuration lets it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from common.config.conflicts import MAX_PULLS
from common.config.settings import ApiSettings, Listen, Pull, Settings
from common.ipc.control_messages import Endpoint, Hello
from common.ipc.identity import BootId
from supervisor.additions.additions import Additions
from tests.kit.children import INGEST0

URL = "rtsp://u:secret@cam1.lan/stream/2"
DOOR = {"app": "live", "key": "door", "url": URL}
LOADED = replace(
    Settings(),
    api=ApiSettings(pull_urls=("rtsp://*.lan", "rtmp://*", "http://*")),
    pulls=(Pull("live", "own", "rtsp://own.lan/1"),),
)


class Kept:
    """Where they are kept."""

    def __init__(self) -> None:
        self.requests: dict[str, list[Mapping[str, Any]]] = {}
        self.problem = ""

    def read(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        return self.requests

    def write(self, requests: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
        self.requests = {what: list(which) for what, which in requests.items()}
        return self.problem


class Desk:
    """Additions of a farm, and the settings that they had used."""

    def __init__(self, loaded: Settings = LOADED, kept: Kept | None = None) -> None:
        self.kept = kept or Kept()
        self.used: list[Settings] = []
        self.additions = Additions(
            loaded, self.kept, lambda host: host == "me.lan", self.used.append
        )
        boot_id = BootId("b")
        where = Endpoint(INGEST0, boot_id)
        hello = Hello(INGEST0, boot_id, 1, 1, where, listen=("127.0.0.1:4711",))
        self.additions.follow(lambda: [hello], lambda: "api:0")

    def pulled(self) -> list[str]:
        return [pull.stream_id for pull in self.additions.settings.pulls]


def test_a_pull_is_used_beside_those_of_the_configuration_until_it_is_removed() -> None:
    desk = Desk()
    assert desk.additions.pull(DOOR) == (True, "live/door is pulled from rtsp://cam1.lan/stream/…")
    assert desk.pulled() == ["live/own", "live/door"]
    assert desk.used[-1] == desk.additions.settings
    assert [pull.is_added for pull in desk.used[-1].pulls] == [False, True]
    assert desk.additions.pull(DOOR) == (True, "live/door is pulled already")
    assert len(desk.used) == 1
    assert desk.additions.unpull("live", "door") == (True, "live/door is not pulled any more")
    assert desk.pulled() == ["live/own"]
    assert desk.used[-1] == LOADED
    assert desk.additions.unpull("live", "door") == (False, "live/door is not pulled")
    words = "live/own is pulled by the configuration: remove it there"
    assert desk.additions.unpull("live", "own") == (False, words)


TAKEN = "has it pulled already, from elsewhere perhaps; remove that first"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"url": "rtsp://cam1.example/1"}, "api.pull_urls does not allow rtsp://cam1.example/1"),
        ({"url": "rtsps://cam1.lan/1"}, "api.pull_urls does not allow rtsps://cam1.lan/1"),
        ({"app": "nowhere"}, 'there is no app "nowhere"'),
        ({"key": "own"}, f"the configuration {TAKEN}"),
        ({"key": "added"}, f"another request {TAKEN}"),
        ({"url": "rtmp://me.lan/live/x"}, "rtmp://me.lan/live/… is an address of this farm"),
        ({"url": "http://me.lan:8080/a"}, "http://me.lan:8080/a is an address of this farm"),
        ({"url": "rtsp://me.lan:4711/a"}, "rtsp://me.lan:4711/a is an address of this farm"),
    ],
)
def test_what_is_not_allowed_is_refused_in_words(given: dict[str, str], why: str) -> None:
    desk = Desk()
    assert desk.additions.pull({**DOOR, "key": "added", "url": "http://10.0.0.7/a"})[0]
    asked = DOOR | given
    said = f"{asked['app']}/{asked['key']} is not pulled: {why}"
    assert desk.additions.pull(asked) == (False, said)
    assert desk.pulled() == ["live/own", "live/added"]


def test_another_port_of_this_host_is_another_server() -> None:
    desk = Desk()
    assert desk.additions.pull(DOOR | {"url": "rtsp://me.lan:8554/a"})[0]


def test_nothing_is_allowed_by_default_and_no_file_ever() -> None:
    desk = Desk(Settings())
    why = "live/door is not pulled: api.pull_urls is empty, which allows no URL"
    assert desk.additions.pull(DOOR) == (False, why)
    for url in ("file:///etc/passwd", "/etc/passwd", "concat:a|b", "pipe:0"):
        is_done, words = Desk().additions.pull(DOOR | {"url": url})
        assert not is_done
        assert words.startswith("url must be a URL of rtmp://")


def test_there_are_no_more_than_the_configuration_may_have() -> None:
    desk = Desk()
    for number in range(MAX_PULLS - 1):
        assert desk.additions.pull(DOOR | {"key": f"k{number}"})[0]
    said = f"live/door is not pulled: {MAX_PULLS} streams are pulled, as many as may be"
    assert desk.additions.pull(DOOR) == (False, said)


def test_the_next_supervisor_goes_on_with_what_was_added() -> None:
    desk = Desk()
    desk.additions.pull(DOOR)
    assert Desk(kept=desk.kept).pulled() == ["live/own", "live/door"]


@pytest.mark.parametrize(
    "loaded",
    [
        replace(LOADED, pulls=(Pull("live", "door", "rtsp://other.lan/1"),)),
        replace(LOADED, api=ApiSettings()),
        replace(LOADED, api=ApiSettings(pull_urls=("rtsp://cam2.lan",))),
        replace(LOADED, templates=(replace(LOADED.templates[0], name="other"),)),
    ],
)
def test_what_the_configuration_does_not_allow_any_more_ends_for_good(loaded: Settings) -> None:
    by_reload, by_start = Desk(), Desk()
    for desk in (by_reload, by_start):
        desk.additions.pull(DOOR)
    by_reload.additions.use(loaded)
    by_start = Desk(loaded, by_start.kept)
    for desk in (by_reload, by_start):
        assert desk.additions.settings == loaded
        assert desk.kept.requests == {"pulls": [], "pushes": []}
    assert by_reload.used[-1] == loaded


def test_another_configuration_that_allows_it_goes_on_with_it() -> None:
    desk = Desk()
    desk.additions.pull(DOOR)
    desk.additions.use(replace(LOADED, listen=Listen(port=1936), pulls=()))
    assert desk.pulled() == ["live/door"]
    assert desk.used[-1].listen.port == 1936


def test_what_cannot_be_kept_holds_and_is_said() -> None:
    desk = Desk()
    desk.kept.problem = "No space left on device"
    is_done, words = desk.additions.pull(DOOR)
    assert is_done
    assert words.endswith("; the next supervisor will not know it: No space left on device")
    assert desk.pulled() == ["live/own", "live/door"]


def test_what_is_damaged_in_the_file_is_left_out() -> None:
    kept = Kept()
    kept.requests = {"pulls": [{"app": "live"}, DOOR, {"url": 7}], "more": [{}]}
    assert Desk(kept=kept).pulled() == ["live/own", "live/door"]


def test_no_log_line_has_a_key_or_a_credential(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    desk = Desk()
    desk.additions.pull(DOOR)
    desk.additions.use(Settings())
    Desk(kept=desk.kept)
    assert len(caplog.messages) == 2
    assert not [text for text in caplog.messages if "secret" in text or "door" in text]


PUSHING = replace(LOADED, api=ApiSettings(push_urls=("srt://*.lan", "rtmp://*")))
OUT = {
    "app": PUSHING.templates[0].name,
    "key": "door",
    "url": "srt://out.lan:9000?passphrase=secret-secret",
    "rendition": "source",
}


def pushed(settings: Settings) -> list[str]:
    return [rule.url for template in settings.templates for rule in template.pushes]


def test_a_push_is_used_until_it_is_removed_and_kept_for_the_next_supervisor() -> None:
    desk = Desk(PUSHING)
    is_done, words, named = desk.additions.push(OUT)
    assert (is_done, words) == (
        True,
        f"source of {OUT['app']} is pushed to srt://out.lan:9000 as {named['push']}",
    )
    assert pushed(desk.used[-1]) == [OUT["url"]]
    assert desk.additions.push(OUT)[2] == named
    after = Desk(PUSHING, desk.kept)
    assert pushed(after.additions.settings) == [OUT["url"]]
    assert after.additions.unpush(named["push"])[0]
    assert after.additions.unpush(named["push"]) == (False, "no request has added such a push")
    assert after.used[-1] == PUSHING
    assert after.kept.requests["pushes"] == []


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"app": "nowhere"}, 'there is no app "nowhere"'),
        ({"rendition": "9000p"}, "is not pushed: there is no such rendition; there are "),
        ({"url": "srt://out.example:9000"}, "api.push_urls does not allow srt://out.example:9000"),
        ({"url": "rtmp://me.lan/live/x"}, "rtmp://me.lan/live/… is an address of this farm"),
    ],
)
def test_what_may_not_be_pushed_is_refused_in_words(given: dict[str, str], why: str) -> None:
    desk = Desk(PUSHING)
    is_done, words, _ = desk.additions.push(OUT | given)
    assert not is_done
    assert why in words
    assert pushed(desk.additions.settings) == []


def test_a_push_that_the_configuration_does_not_allow_any_more_ends_for_good() -> None:
    desk = Desk(PUSHING)
    desk.additions.push(OUT)
    desk.additions.use(LOADED)
    desk.additions.use(PUSHING)
    assert pushed(desk.additions.settings) == []
    assert desk.kept.requests["pushes"] == []

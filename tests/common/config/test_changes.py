"""Which keys have changed between two settings, and from when they hold."""

from dataclasses import replace

import pytest

from common.config.changes import Change, changes, in_words, put_back
from common.config.keys import Holds
from common.config.load import parse
from common.config.model import SECTIONS
from common.config.model_calibration import CalibrationTable
from common.config.model_templates import RenditionTable, TemplateTable
from common.config.settings import Listen, Settings
from tests.common.config.test_model_calibration import CALIBRATION

BEFORE = Settings()
RENDITION = {"name": "a", "width": 640, "height": 360, "bitrate": "1M"}


def changed(document: dict[str, object], before: Settings = BEFORE) -> str:
    return in_words(changes(before, parse(document)))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "nothing has changed"),
        ({"templates": {"live": {"gop": "2s"}}}, "nothing has changed"),
        ({"log_level": "DEBUG"}, "at once: log_level"),
        ({"listen": {"rtmp": "[::1]:0"}}, "after a restart: listen.rtmp"),
        ({"devices": {"capacity": {"GPU-1": 3}}}, "at once: devices.capacity"),
        ({"calibration": [CALIBRATION]}, "for new streams: calibration"),
        (
            {"templates": {"tv": {"gop": "1s"}}},
            "for new streams: templates.tv (new), templates.live (gone)",
        ),
        (
            {"templates": {"live": {"renditions": [RENDITION], "play_keys": ["a"], "gop": "1s"}}},
            "at once: templates.live.play_keys; "
            "for new streams: templates.live.gop, templates.live.renditions",
        ),
        (
            {"templates": {"live": {"signing": {"keys": {"k1": "x" * 16}, "clock_skew": "1s"}}}},
            "at once: templates.live.signing.keys, templates.live.signing.clock_skew",
        ),
        (
            {"templates": {"live": {"hooks": {"url": "http://a/", "secret": "x" * 16}}}},
            "at once: templates.live.hooks.url, templates.live.hooks.secret",
        ),
        (
            {"templates": {"live": {"limits": {"max_players": 3, "max_fps": 30}}}},
            "at once: templates.live.limits.max_players; "
            "for new streams: templates.live.limits.max_fps",
        ),
        (
            {
                "templates": {
                    "live": {"stream_keys": {"a": "x", "b": {"play": "y", "publish": "z"}}}
                }
            },
            "at once: templates.live.stream_keys.a, templates.live.stream_keys.b",
        ),
        (
            {
                "egress": {"queue": "2s", "processes": 2},
                "software": {"encoder_threads": 2, "workers": 4},
                "worker": {"queue": "2s"},
            },
            "at once: egress.queue; more at once, fewer after a restart: software.workers; "
            "for new streams: worker.queue; for new processes: software.encoder_threads; "
            "after a restart: egress.processes",
        ),
    ],
)
def test_changes_are_told_by_key_and_from_when_they_hold(
    document: dict[str, object], words: str
) -> None:
    assert changed(document) == words


def test_a_secret_is_named_by_its_key_and_never_shown() -> None:
    assert "hunter2" not in changed({"templates": {"live": {"publish_keys": ["hunter2"]}}})


def test_one_key_can_be_put_back() -> None:
    after = parse({"listen": {"rtmp": "[::1]:0"}, "egress": {"queue": "2s", "processes": 2}})
    for change in changes(BEFORE, after):
        if change.holds is Holds.RESTART:
            after = put_back(after, change, BEFORE)
    assert after.listen == Listen()
    assert after.egress == replace(BEFORE.egress, queue_ms=2000)


def test_a_change_knows_where_its_setting_stands() -> None:
    after = replace(BEFORE, egress=replace(BEFORE.egress, queue_ms=1))
    assert changes(BEFORE, after) == [Change("egress.queue", Holds.NOW, "egress", "queue_ms")]
    assert "egress" in SECTIONS


@pytest.mark.parametrize("table", [TemplateTable, RenditionTable, CalibrationTable])
def test_no_key_of_a_template_waits_for_a_restart(table: type[TemplateTable]) -> None:
    """`put_back` puts back what stands once in a file."""
    waits = {Holds.RESTART, Holds.MORE_NOW}
    assert [one.name for one in table.declared() if one.key.holds in waits] == []

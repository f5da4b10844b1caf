"""common/access/exposure.py: when strangers may publish."""

from dataclasses import replace

import pytest

from common.access.exposure import exposed_apps, exposure, has_secrets, is_local
from common.config.access import EVERYBODY, Signing
from common.config.hooks import Hooks
from common.config.ladder import Template
from common.config.settings import Settings

OPEN = Template("live", ())
KEYED = replace(OPEN, name="keyed", publish_keys=("0" * 64,))
MEANT = replace(OPEN, name="meant", publish_rules=EVERYBODY)


@pytest.mark.parametrize(
    ("host", "is_here"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("fe80::1%eth0", False),
        ("farm.example", False),
    ],
)
def test_what_only_this_host_reaches(host: str, is_here: bool) -> None:
    assert is_local(host) == is_here


@pytest.mark.parametrize(
    ("template", "is_exposed"),
    [
        (OPEN, True),
        (replace(OPEN, play_keys=("0" * 64,)), True),
        (KEYED, False),
        (MEANT, False),
        (replace(OPEN, needs_stream_key=True), False),
        (replace(OPEN, signing=Signing((("k1", "x" * 16),))), False),
    ],
)
def test_an_app_is_exposed_if_nothing_says_who_may_publish(
    template: Template, is_exposed: bool
) -> None:
    assert exposed_apps(Settings(templates=(template,))) == ["live"] * is_exposed


def test_the_warning_names_addresses_and_apps_and_says_what_to_do() -> None:
    settings = Settings(templates=(OPEN, KEYED, MEANT, replace(OPEN, name="tv")))
    words = exposure(settings, ["127.0.0.1:1935", "0.0.0.0:1935", "[::]:1935"])
    assert words.startswith(
        "anybody who reaches 0.0.0.0:1935, [::]:1935 may publish to the apps live, tv:"
    )
    assert 'publish_rules = ["open"]' in words


@pytest.mark.parametrize(
    ("settings", "listen"),
    [
        (Settings(), ["127.0.0.1:1935", "[::1]:1935"]),
        (Settings(), []),
        (Settings(templates=(KEYED, MEANT)), ["0.0.0.0:1935"]),
    ],
)
def test_nothing_is_said_where_nobody_comes_or_rules_hold(settings, listen) -> None:
    assert exposure(settings, listen) == ""


def test_the_farm_that_nobody_configured_is_reached_from_its_host_alone() -> None:
    assert is_local(Settings().listen.host)


@pytest.mark.parametrize(
    ("template", "has_any"),
    [
        (OPEN, False),
        (KEYED, False),
        (replace(OPEN, signing=Signing((("k1", "x" * 16),))), True),
        (replace(OPEN, hooks=Hooks("http://h/", "x" * 16)), True),
    ],
)
def test_what_signs_stands_in_clear(template: Template, has_any: bool) -> None:
    assert has_secrets(Settings(templates=(template,))) == has_any

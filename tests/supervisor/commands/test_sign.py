"""`tfarm sign`: what it makes is what `common/access/signed_url.py` takes."""

import time
from ipaddress import ip_network
from pathlib import Path

import pytest
from typer.testing import CliRunner

from common.access.signed_url import Direction, Grant, Request, check, read
from supervisor.commands.line.cli import app

OLD, NEW = "the-old-secret-01", "the-new-secret-02"
CONFIG = f"""
[listen]
rtmp = "0.0.0.0:1935"
[templates.live.signing.keys]
old = "{OLD}"
new = "{NEW}"
[templates.tv]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "farm.toml"
    path.write_text(CONFIG)
    return path


def signed(config: Path, *arguments: str) -> tuple[str, Grant]:
    """The URL's address, and what its token says."""
    done = CliRunner().invoke(app, ["sign", str(config), *arguments])
    assert done.exit_code == 0, done.output
    address, _, token = done.stdout.strip().partition("?token=")
    grant = read(token)
    assert grant is not None
    request = Request(Direction(arguments[0]), "live", "cam1", "", "203.0.113.7")
    assert check(token, {"old": OLD, "new": NEW}, request, time.time(), 0) == grant
    return address, grant


def test_a_url_is_signed_with_the_last_key_for_an_hour(config: Path) -> None:
    address, grant = signed(config, "publish", "live/cam1")
    assert address == "rtmp://HOST/live/cam1"
    assert (grant.key_id, grant.renditions, grant.network, grant.once) == ("new", (), None, "")
    assert abs(grant.expiry_unix - time.time() - 3600) < 60


def test_scopes_are_said_by_options(config: Path) -> None:
    options = ["--for", "2d", "--rendition", "480p", "--rendition", "720p", "--once"]
    options += ["--network", "203.0.113.7", "--key-id", "old", "--base", "rtmps://a.example/"]
    address, grant = signed(config, "play", "live/cam1/720p", *options)
    assert address == "rtmps://a.example/live/cam1/720p"
    assert (grant.key_id, grant.renditions) == ("old", ("720p", "480p"))
    assert grant.network == ip_network("203.0.113.7/32")
    assert len(grant.once) >= 16
    assert signed(config, "play", "live/cam1", "--once")[1].once != grant.once


def test_a_token_can_be_had_alone(config: Path) -> None:
    done = CliRunner().invoke(app, ["sign", str(config), "play", "live/cam1", "--token"])
    assert read(done.stdout.strip()) is not None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["watch", "live/cam1"], "publish"),
        (["play", "live"], "the stream key must be"),
        (["play", "live/a b"], "the stream key must be"),
        (["play", "live/cam1/"], "must be APP/KEY"),
        (["play", "live/cam1/720p/x"], "must be APP/KEY"),
        (["play", "radio/cam1"], "no app radio"),
        (["play", "tv/cam1"], "templates.tv.signing"),
        (["play", "live/cam1/1080p"], "720p, 480p, 360p, source"),
        (["publish", "live/cam1/720p"], "one publishes to APP/KEY"),
        (["play", "live/cam1", "--for", "soon"], "30s, 10m"),
        (["play", "live/cam1", "--for", "999999d"], "ten years"),
        (["play", "live/cam1", "--network", "live/cam1"], "203.0.113.0/24"),
        (["play", "live/cam1", "--key-id", "k3"], "there are old, new"),
    ],
)
def test_what_cannot_be_signed_is_said_and_no_secret_is_shown(
    config: Path, arguments: list[str], says: str
) -> None:
    done = CliRunner().invoke(app, ["sign", str(config), *arguments], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    words = " ".join(done.output.split())
    assert says in words
    assert OLD not in words
    assert NEW not in words


def test_a_faulty_file_is_told_by_its_faults(tmp_path: Path) -> None:
    path = tmp_path / "farm.toml"
    path.write_text('[templates.live.signing.keys]\nk1 = "hunter2"')
    done = CliRunner().invoke(app, ["sign", str(path), "play", "live/cam1"])
    assert done.exit_code == 2
    assert "templates.live.signing.keys.k1" in done.output
    assert "hunter2" not in done.output

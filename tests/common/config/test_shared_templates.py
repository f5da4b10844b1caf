"""common/config/shared_templates.py, and how it is read below a host's own file."""

from pathlib import Path

import pytest

from common.config.load import load
from common.config.shared_templates import MAX_BYTES, shared_document
from common.errors import ConfigError

OWN = """
[templates.live]
hold = "3s"
"""


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[listen]\nrtmp = ':1'", "listen: is a host's own: only [templates.APP] is for all hosts"),
        (
            "[templates.live]\npublish_keys = ['0123456789abcdef']",
            "templates.live.publish_keys: must not stand in etcd in clear: "
            "give publish_keys_sha256",
        ),
        (
            "[templates.live.stream_keys.cam1]\npublish_keys_sha256 = []",
            "templates.live.stream_keys: holds secrets, which must not stand in etcd: "
            "give it in each host's own file",
        ),
        (
            "[templates.live.signing.keys]\nk1 = 'x'",
            "templates.live.signing.keys: holds secrets, which must not stand in etcd: "
            "give it in each host's own file",
        ),
        (
            "[templates.live.hooks]\nsecret = 'x'",
            "templates.live.hooks.secret: holds secrets, which must not stand in etcd: "
            "give it in each host's own file",
        ),
        (f"#{'x' * MAX_BYTES}", f"is larger than {MAX_BYTES} bytes"),
        ("templates", "is no TOML: "),
        ("x = " + "[" * 100_000, "is no TOML: "),
    ],
)
def test_what_must_not_be_there_is_refused_by_its_keys_path(text: str, fault: str) -> None:
    with pytest.raises(ConfigError) as raised:
        shared_document(text)
    assert str(raised.value.faults[0]).startswith(fault)


def test_every_fault_is_named() -> None:
    with pytest.raises(ConfigError) as raised:
        shared_document("[listen]\n[api]\n[templates.a.hooks]\nsecret = 'x'")
    paths = [fault.path for fault in raised.value.faults]
    assert paths == ["listen", "api", "templates.a.hooks.secret"]


@pytest.mark.parametrize("text", ["", "# nothing\n", "[templates.live]\npublish_keys = []\n"])
def test_a_text_without_secrets_is_taken(text: str) -> None:
    shared_document(text)


def own_file(folder: Path, text: str) -> Path:
    path = folder / "farm.toml"
    path.write_text(text)
    return path


def test_a_hosts_own_file_holds_key_by_key(tmp_path: Path) -> None:
    shared = '[templates.live]\nhold = "9s"\ngop = "1s"\n[templates.games]\nrenditions = []\n'
    settings = load(own_file(tmp_path, OWN), shared)
    live, games = (settings.template_of(f"{app}/x") for app in ("live", "games"))
    assert live is not None
    assert games is not None
    assert (live.hold_ms, live.gop_ms, games.renditions) == (3_000, 1_000, ())


def test_with_no_shared_text_the_file_is_what_it_is(tmp_path: Path) -> None:
    path = own_file(tmp_path, OWN)
    assert load(path, "") == load(path)


@pytest.mark.parametrize(
    ("shared", "fault"),
    [
        ('[templates.live]\ngop = "x"', "templates.live.gop: "),
        ("[templates.live]\ngopp = 1", "templates.live.gopp: is no known key"),
        ("templates = 1", "templates: must be a table"),
        ("[api]\nenabled = true", "api: is a host's own"),
    ],
)
def test_faults_of_the_shared_text_are_found_by_path(
    tmp_path: Path, shared: str, fault: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        load(own_file(tmp_path, ""), shared)
    assert str(raised.value.faults[0]).startswith(fault)

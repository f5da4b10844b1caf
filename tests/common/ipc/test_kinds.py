"""The table of child kinds, and what the rest of the repository says of them."""

import importlib.util
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from common.config.access import Signing
from common.config.hooks import Hooks
from common.config.ladder import Template
from common.config.limits import StreamLimits
from common.config.settings import ApiSettings, Pull, Settings, SrtSettings
from common.config.stream_keys import StreamKeys
from common.extras import WEBRTC, is_installed
from common.ipc.kinds import KINDS, ChildKind, has_devices, settings_for, takes_tags

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONTRACTS = PROJECT["tool"]["importlinter"]["contracts"]
LIBRARIES = {library for kind in KINDS.values() for library in kind.libraries}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@every_kind
def test_a_kind_has_a_module_that_can_be_started(kind: ChildKind) -> None:
    assert importlib.util.find_spec(f"{kind.module}.__main__") is not None


@every_kind
def test_a_kind_imports_no_sibling(kind: ChildKind) -> None:
    (layers,) = (contract["layers"] for contract in CONTRACTS if contract["type"] == "layers")
    assert kind.module.split(".")[0] in [name for layer in layers for name in layer.split(" | ")]


def kind_of_module(module: str) -> str:
    """The kind that a module belongs to: of `ingest` and `ingest.pull` the nearer one."""
    owners = [kind for kind in KINDS.values() if module.startswith(f"{kind.module}.")]
    return max((len(kind.module), kind.name) for kind in owners)[1] if owners else ""


@every_kind
def test_the_linter_holds_which_libraries_a_kind_imports(kind: ChildKind) -> None:
    """A library that some contract forbids is forbidden to all kinds that do not list it."""
    for contract in CONTRACTS:
        external = LIBRARIES & set(contract.get("forbidden_modules", ()))
        is_held = any(
            kind.module == source or kind.module.startswith(f"{source}.")
            for source in contract.get("source_modules", ())
        )
        excepted = [line.partition(" ->")[0] for line in contract.get("ignore_imports", ())]
        is_held = is_held and kind.name not in map(kind_of_module, excepted)
        if external:
            assert is_held != bool(external & set(kind.libraries)), contract["name"]


def test_a_farm_has_each_server_and_workers_by_its_devices() -> None:
    counts = {name: kind.count(Settings()) for name, kind in KINDS.items() if kind.count}
    assert counts == {
        "api": 1,
        "audio": 0,
        "srt": 0,
        "pull": 0,
        "whip": 0,
        "ingest": 1,
        "encoder": 0,
        "egress": 1,
        "hooks": 0,
        "cluster": 0,
        "tls": 0,
        "https": 0,
        "web": 1,
        "push": 0,
        "record": 0,
        "upload": 0,
        "relay": 0,
        "rtc": int(is_installed(WEBRTC)),
        "sound": 1,
    }
    assert [name for name in KINDS if has_devices(name)] == ["worker"]


def test_keys_are_told_to_those_who_have_a_use_for_them_and_to_nobody_else() -> None:
    """A decoder's bug must not reach what signs URLs."""
    hooks = Hooks(url="http://h/", secret="f")
    live = Template(
        "live",
        (),
        publish_keys=("a",),
        play_keys=("b",),
        signing=Signing((("k1", "c"),)),
        hooks=hooks,
    )
    limited = StreamKeys(("d",), ("e",), StreamLimits(fps=30))
    settings = Settings(
        templates=(live,),
        stream_keys={"live/a": limited, "live/b": limited},
        api=ApiSettings(tokens=("f",)),
        srt=SrtSettings(passphrase="g"),
        pulls=(Pull("live", "a", "rtsp://h:i@camera/1"),),
    )
    for name in (*KINDS, "unheard-of"):
        suited = settings_for(name, settings)
        (template,) = suited.templates
        if name in ("ingest", "egress", "web", "rtc"):
            assert template == replace(live, hooks=replace(hooks, secret=""))
            assert suited.stream_keys == settings.stream_keys
        else:
            expected = hooks if name == "hooks" else Hooks()
            assert template == replace(live.without_access(), hooks=expected)
            assert suited.stream_keys["live/a"] == StreamKeys(limits=StreamLimits(fps=30))
        assert suited.srt.passphrase == ("g" if name == "srt" else "")
        assert suited.pulls == (settings.pulls if name == "pull" else (Pull("live", "a", ""),))
        assert suited.api.tokens == (("f",) if name == "api" else ())
    for kind in KINDS.values():
        assert not (kind.is_sandboxed and (kind.admits or kind.calls_hooks))


def test_a_streams_template_travels_without_keys() -> None:
    live = Template("live", (), play_keys=("b",), signing=Signing((("k1", "c"),)))
    settings = Settings(templates=(live,))
    assert settings.template_of("live/cam1") == live.without_access()
    assert settings.template_of("tv/cam1") is None


def test_publishers_end_first_then_players_and_last_who_passes_on_what_they_are_told() -> None:
    assert list(KINDS) == [
        "api",
        "audio",
        "srt",
        "pull",
        "whip",
        "ingest",
        "worker",
        "encoder",
        "web",
        "rtc",
        "sound",
        "push",
        "record",
        "upload",
        "relay",
        "egress",
        "hooks",
        "tls",
        "https",
        "cluster",
    ]


def test_only_the_api_gives_commands_for_an_operator_and_none_that_ends_the_farm() -> None:
    assert [kind.name for kind in KINDS.values() if kind.commands] == ["api"]
    assert "stop" not in KINDS["api"].commands


def test_who_has_a_codec_or_ends_tls_is_in_a_sandbox() -> None:
    for kind in KINDS.values():
        needs_one = bool(kind.libraries) or kind.ends_tls or kind.speaks_srt
        needs_one = needs_one or kind.records or kind.uploads
        assert kind.is_sandboxed == needs_one, kind.name
        assert kind.parses_strangers or kind.name == "encoder"


def test_who_has_no_socket_for_tags_is_told_of_no_tags() -> None:
    receiving = {name for name in KINDS if takes_tags(name)}
    assert receiving == {"audio", "web", "rtc", "push", "record", "relay", "egress"}
    assert takes_tags("of another version")

"""What keys say together; the words of each are in test_load.py's table."""

from dataclasses import replace

import pytest

from common.config.conflicts import conflicts
from common.config.ladder import RateControl, Takeover, Template
from common.config.settings import (
    DEFAULT_RENDITIONS,
    ApiSettings,
    Devices,
    Listen,
    Settings,
    Software,
)
from common.config.stream_keys import StreamKeys

LIVE = Template("live", DEFAULT_RENDITIONS)
FIRST = DEFAULT_RENDITIONS[0]


def found(template: Template, *faulty: str) -> list[str]:
    return [fault.path for fault in conflicts(Settings(templates=(template,)), faulty)]


def test_the_built_in_farm_has_none() -> None:
    assert conflicts(Settings()) == []


def test_all_of_them_are_told_at_once() -> None:
    peak = replace(FIRST, name="source", maxrate_bps=1, rate_control=RateControl.CBR)
    template = replace(LIVE, renditions=(peak, FIRST, FIRST), takeover=Takeover.ALWAYS, policy=())
    assert found(template) == [
        "templates.live.renditions[0].name",
        "templates.live.renditions[0].maxrate",
        "templates.live.renditions[2].name",
        "templates.live.policy",
        "templates.live.takeover",
    ]


@pytest.mark.parametrize(
    ("faulty", "is_told"),
    [
        ("templates.live.takeover", False),
        ("templates.live.publish_keys", False),
        ("templates.live.publish_keys[2]", False),
        ("templates.live", False),
        ("templates.lively", True),
        ("templates.live.hold", True),
    ],
)
def test_what_comes_of_a_key_with_a_fault_of_its_own_is_not_told(
    faulty: str, is_told: bool
) -> None:
    template = replace(LIVE, takeover=Takeover.ALWAYS)
    assert found(template, faulty) == (["templates.live.takeover"] if is_told else [])


@pytest.mark.parametrize(
    ("api", "is_fault"),
    [
        (ApiSettings(), False),
        (ApiSettings(listen=Listen("localhost", 1)), False),
        (ApiSettings(listen=Listen("::1", 1)), False),
        (ApiSettings(listen=Listen("0.0.0.0", 1)), True),
        (ApiSettings(listen=Listen("::", 1)), True),
        (ApiSettings(listen=Listen("farm.example", 1)), True),
        (ApiSettings(listen=Listen("0.0.0.0", 1), tokens=("1" * 64,)), False),
        (ApiSettings(listen=Listen("0.0.0.0", 1), is_enabled=False), False),
    ],
)
def test_an_api_that_others_can_reach_needs_tokens(api: ApiSettings, is_fault: bool) -> None:
    assert [fault.path for fault in conflicts(Settings(api=api))] == ["api.listen"] * is_fault


def test_a_key_for_each_stream_is_a_key_where_one_is_needed() -> None:
    assert found(replace(LIVE, takeover=Takeover.ALWAYS, needs_stream_key=True)) == []


def test_a_stream_that_nobody_could_publish_is_a_fault() -> None:
    own = {"live/a": StreamKeys(publish=("1",)), "live/b": StreamKeys(play=("2",))}
    closed = replace(LIVE, needs_stream_key=True)
    (fault,) = conflicts(Settings(templates=(closed,), stream_keys=own))
    assert fault.path == "templates.live.stream_keys.b"
    assert conflicts(Settings(templates=(LIVE,), stream_keys=own)) == []


def test_too_many_renditions_are_one_fault() -> None:
    many = tuple(replace(FIRST, name=f"r{i}") for i in range(17))
    assert found(replace(LIVE, renditions=many)) == ["templates.live.renditions"]


def test_a_farm_without_devices_is_told_when_all_else_is_good() -> None:
    settings = Settings(devices=Devices(use_gpus=False), software=Software(workers=0))
    assert [fault.path for fault in conflicts(settings)] == ["templates.live.policy"]
    assert conflicts(settings, ["log_level"]) == []

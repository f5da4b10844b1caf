"""The entries of `[templates.APP.stream_keys]`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.config.key_values import digest
from common.config.limits import StreamLimits
from common.config.load import parse
from common.config.model_access import StreamKeysTable
from common.config.stream_keys import StreamKeys
from common.errors import ConfigError

APP = StreamLimits(fps=60, players=9)
KEY = st.text(min_size=1, max_size=20).filter(lambda text: not text.startswith("sha256:"))


@given(st.one_of(KEY, st.lists(KEY, min_size=1)))
def test_a_key_by_itself_is_the_publishers(value: str | list[str]) -> None:
    texts = [value] if isinstance(value, str) else value
    expected = StreamKeys(publish=tuple(map(digest, texts)))
    assert StreamKeysTable.model_validate(value).stream_keys(APP) == expected
    assert StreamKeysTable.model_validate({"publish": value}).stream_keys(APP) == expected


def test_an_empty_entry_says_nothing() -> None:
    assert StreamKeysTable.model_validate({}).stream_keys(APP) == StreamKeys()


def test_limits_of_a_stream_go_before_the_apps_and_reach_its_template() -> None:
    live = {
        "limits": {"max_fps": 60, "max_players": 9},
        "stream_keys": {"cam1": {"publish": "a", "limits": {"max_fps": 30}}, "cam2": "b"},
    }
    settings = parse({"templates": {"live": live}})
    limits = {
        name: template.limits
        for name in ("cam1", "cam2", "cam3")
        if (template := settings.template_of(f"live/{name}")) is not None
    }
    assert limits["cam1"] == StreamLimits(fps=30, players=9)
    assert limits["cam2"] == limits["cam3"] == StreamLimits(fps=60, players=9)
    assert settings.template_of("nothing/cam1") is None


@pytest.mark.parametrize(
    ("limits", "path", "problem"),
    [
        ({"max_publishers": 3}, "cam1", "max_publishers is for an app"),
        ({"max_fps": 0}, "cam1.limits.max_fps", "between 1"),
        ({"max_fp": 0}, "cam1.limits.max_fp", 'did you mean "max_fps"'),
    ],
)
def test_faults_of_limits_are_told(limits: dict[str, int], path: str, problem: str) -> None:
    entry = {"publish": "a", "limits": limits}
    with pytest.raises(ConfigError) as caught:
        parse({"templates": {"live": {"stream_keys": {"cam1": entry}}}})
    (fault,) = caught.value.faults
    assert fault.path == f"templates.live.stream_keys.{path}"
    assert problem in fault.problem

"""common/config/overrides.py, as `Settings.template_of` applies them."""

from common.config.ladder import Template
from common.config.limits import StreamLimits
from common.config.overrides import NO_OVERRIDES, StreamOverrides
from common.config.settings import Settings
from common.config.stream_keys import StreamKeys

LIVE, TV = Template("live", (), gop_ms=1000), Template("tv", (), gop_ms=4000)
OWN = StreamLimits(fps=25)
SETTINGS = Settings(templates=(LIVE, TV), stream_keys={"live/cam1": StreamKeys(limits=OWN)})


def test_another_template_and_other_limits_stand_in_place_of_the_apps() -> None:
    assert SETTINGS.template_of("live/a") == LIVE.without_access()
    named = SETTINGS.template_of("live/a", StreamOverrides(template="tv"))
    assert named == TV.without_access()
    limits = StreamLimits(fps=30)
    limited = SETTINGS.template_of("live/cam1", StreamOverrides("tv", limits))
    assert limited is not None
    assert (limited.gop_ms, limited.limits) == (4000, limits)
    own = SETTINGS.template_of("live/cam1", NO_OVERRIDES)
    assert own is not None
    assert own.limits == OWN


def test_a_template_that_is_gone_by_now_is_the_apps_again() -> None:
    found = SETTINGS.template_of("live/a", StreamOverrides(template="gone"))
    assert found == LIVE.without_access()
    assert SETTINGS.template_of("radio/a", StreamOverrides(template="gone")) is None


def test_keys_stand_in_no_repr() -> None:
    assert "hunter2" not in repr(StreamOverrides(play_keys=("hunter2",)))

"""What of a policy can never be taken."""

import pytest

from common.config.ladder import Pipeline, Template
from common.config.policy import never_tried, unserved
from common.config.settings import DEFAULT_RENDITIONS, Devices, Settings, Software

GPU, HYBRID, SOFTWARE, PASSTHROUGH, REFUSE = Pipeline
NOTHING = Settings(software=Software(workers=0), devices=Devices(use_gpus=False))


@pytest.mark.parametrize(
    ("policy", "index"),
    [
        ((GPU, HYBRID, SOFTWARE), None),
        ((SOFTWARE, PASSTHROUGH), None),
        ((SOFTWARE, PASSTHROUGH, REFUSE), None),  # for those that lose their device
        ((REFUSE,), None),
        ((PASSTHROUGH, SOFTWARE), 1),
        ((GPU, REFUSE, PASSTHROUGH), 2),
        ((GPU, PASSTHROUGH, REFUSE, SOFTWARE), 3),
    ],
)
def test_nothing_may_stand_behind_what_ends_the_search(
    policy: tuple[Pipeline, ...], index: int | None
) -> None:
    found = never_tried(policy)
    assert (found[0] if found else None) == index


def served_by(*policy: Pipeline) -> tuple[Template, ...]:
    return (Template("live", DEFAULT_RENDITIONS, policy=policy),)


def test_a_ladder_without_any_device_is_a_fault() -> None:
    (fault,) = unserved(NOTHING)
    assert fault.path == "templates.live.policy"
    gpus_alone = Settings(devices=Devices(use_gpus=False), templates=served_by(GPU))
    (fault,) = unserved(gpus_alone)
    assert "devices.use_gpus = false:" in fault.problem


@pytest.mark.parametrize(
    "settings",
    [
        Settings(software=NOTHING.software),
        Settings(devices=NOTHING.devices),
        Settings(
            software=NOTHING.software,
            devices=NOTHING.devices,
            templates=(*served_by(SOFTWARE, PASSTHROUGH), Template("raw", ())),
        ),
        Settings(devices=NOTHING.devices, templates=served_by(REFUSE)),  # so it is meant
    ],
)
def test_another_way_is_enough(settings: Settings) -> None:
    assert list(unserved(settings)) == []

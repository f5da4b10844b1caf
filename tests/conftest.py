"""What comes before any test module: a GPU for this process, and the order of tests."""

import os

import pytest
from hypothesis import HealthCheck, settings

from tests.kit.gpu_choice import choose_for_this_process

# How long an example takes says how busy the machine is. In CI hypothesis has the same by itself,
# and the same examples each time.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def pytest_configure() -> None:
    if not os.environ.get("CI"):
        settings.load_profile("any machine")
    choose_for_this_process()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several processes share the tests out (pytest-xdist), real processes come first.

    They wait for seconds, and short tests fill the end.

    What takes all cores comes between the two, when hardly a farm runs beside it any more.
    """
    if hasattr(config, "workerinput"):
        items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    if item.get_closest_marker("busy") is not None:
        return 1
    return 0 if item.get_closest_marker("e2e") is not None else 2

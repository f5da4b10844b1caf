"""What comes before any test module: a GPU for this process, and the order of tests."""

import pytest

from tests.kit.gpu_choice import choose_for_this_process


def pytest_configure() -> None:
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

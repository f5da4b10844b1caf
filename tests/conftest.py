"""The order of tests that are shared out among several processes (pytest-xdist)."""

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Real processes first: they wait for seconds, and short tests fill the end.

    What takes all cores comes between the two, when hardly a farm runs beside it any more.
    """
    if hasattr(config, "workerinput"):
        items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    if item.get_closest_marker("busy") is not None:
        return 1
    return 0 if item.get_closest_marker("e2e") is not None else 2

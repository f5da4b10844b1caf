"""Fixtures of the supervisor's tests."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.kit.farm_rig import MakeRig, Rig
from tests.kit.toy_supervisor import ToyFarm


@pytest.fixture
def make_rig() -> MakeRig:
    return Rig


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture
def farm() -> Iterator[ToyFarm]:
    with TemporaryDirectory(prefix="tf-", dir="/tmp") as name:
        farm = ToyFarm(Path(name))
        try:
            yield farm
        finally:
            farm.clean_up()

"""Fixtures of the supervisor's tests."""

import pytest

from tests.kit.farm_rig import MakeRig, Rig


@pytest.fixture
def make_rig() -> MakeRig:
    return Rig


@pytest.fixture
def rig() -> Rig:
    return Rig()

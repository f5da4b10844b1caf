"""What the tests of the API share."""

import pytest

from tests.kit.farm_rig import Rig


@pytest.fixture
def rig() -> Rig:
    return Rig()

"""supervisor/farm/registry/registry.py: a farm that is alone."""

import math
import subprocess
import sys

from supervisor.farm.registry.registry import Alone
from tests.kit.farm_rig import Rig


def test_a_farm_that_is_alone_asks_nobody_and_waits_for_nothing() -> None:
    rig = Rig()
    assert isinstance(rig.farm.registry, Alone)
    assert len(rig.ask("live/a")) == 1
    assert rig.farm.registry.next_deadline() == math.inf
    assert rig.farm.registry.view is None
    assert not rig.farm.registry.unregistered
    assert rig.farm.registry.leave() == []


def test_a_farm_that_is_alone_imports_nothing_for_other_hosts() -> None:
    program = (
        "import sys, supervisor.run\n"
        "from common.config.settings import Settings\n"
        "from supervisor.farm.farm import Farm\n"
        "Farm(Settings(), 2)\n"
        "print([name for name in sys.modules if name.split('.')[0] == 'cluster'"
        " or name.startswith(('common.etcd', 'aiohttp')) or name.endswith('registry.etcd')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"

"""common/ipc/endpoint.py: addresses in the run directory."""

from pathlib import Path

import pytest

from common.ipc.endpoint import UNIX, endpoint, socket_path
from common.ipc.identity import BootId, gpu_worker


def test_endpoint_names_are_of_one_incarnation_and_bounded(tmp_path: Path) -> None:
    child, boot = gpu_worker("GPU-8f6c1a2b-aaaa-bbbb-cccc-ddddeeeeffff"), BootId("0" * 16)
    name = endpoint(Path("/run/tfarm"), child, boot, "media")
    assert name.startswith("ipc:///run/tfarm/worker-GPU-8f6c1a2b")
    assert name.endswith("-0000000000000000.media")
    with pytest.raises(ValueError, match="too long"):
        endpoint(Path("/" + "x" * 80), child, boot, "media")
    assert socket_path(name) == name.removeprefix("ipc://")
    handover = endpoint(Path("/run/tfarm"), child, boot, "handover", UNIX)
    assert handover.startswith("unix:///run/tfarm/worker-GPU-8f6c1a2b")
    assert socket_path(handover) == handover.removeprefix("unix://")

"""common/config/model_calibration.py: what was measured is read, and its faults are named."""

from typing import Any

import pytest

from common.config import load as config
from common.config.ladder import Pipeline
from common.errors import ConfigError

CALIBRATION: dict[str, Any] = {
    "device": "GPU-a",
    "template": "live",
    "path": "gpu-only",
    "source": "1920x1080@30",
    "streams": 90,
    "units": 56.2,
    "load": 10.0,
    "decode": 0.01,
    "memory": "118MiB",
}


def test_calibrations_are_read_and_checked_like_all_else() -> None:
    (read,) = config.parse({"calibration": [CALIBRATION]}).calibration
    assert (read.path, read.source, read.streams) == (Pipeline.GPU_ONLY, (1920, 1080, 30), 90)
    assert (read.decode, read.encode, read.memory_bytes) == (0.01, 0.0, 118 * 1024**2)
    with pytest.raises(ConfigError) as caught:
        config.parse({"calibration": [CALIBRATION | {"decode": 2, "path": "fast", "speed": 1}]})
    assert [fault.path for fault in caught.value.faults] == [
        "calibration[0].path",
        "calibration[0].decode",
        "calibration[0].speed",
    ]

"""supervisor/farm/recovery/unfit_devices.py: which devices are not asked again for a stream."""

from dataclasses import replace
from fractions import Fraction

from common.config.ladder import SourceFormat
from common.ipc.identity import gpu_worker
from supervisor.farm.recovery.unfit_devices import UnfitDevices

GPU = "GPU-00000000-0000-0000-0000-000000000001"
HD = SourceFormat(1280, 720, fps=Fraction(30))
SD = SourceFormat(854, 480, fps=Fraction(30))
CODEC = "avc1.64001f"


def test_what_a_device_refused_holds_for_its_workers_and_what_a_worker_did_for_that_one() -> None:
    unfit = UnfitDevices()
    first, second = gpu_worker(GPU), gpu_worker(GPU, 1)
    unfit.add(str(second), "failed")
    assert (unfit.why(first), unfit.why(second)) == ("", "failed")
    assert unfit.why_device(second) == ""
    unfit.add(GPU, "4:2:2")
    assert unfit.why(first) == unfit.why_device(second) == "4:2:2"
    unfit.forget_worker(second)
    assert unfit.why(second) == "4:2:2"


def test_another_coding_gives_refused_devices_another_try_but_not_for_ever() -> None:
    unfit = UnfitDevices()
    unfit.on_coding(HD, CODEC, 100.0)
    tries = []
    for turn in range(20):
        unfit.add(GPU, "no")
        tries.append(unfit.on_coding((SD, HD)[turn % 2], CODEC, 101.0 + turn / 10))
    assert tries[:5] == [True] * 5
    assert tries[5:] == [False] * 15


def test_another_rate_is_no_other_coding() -> None:
    unfit = UnfitDevices()
    unfit.on_coding(HD, CODEC, 300.0)
    unfit.add(GPU, "no")
    assert not unfit.on_coding(replace(HD, fps=Fraction(25)), CODEC, 400.0), "coded as before"

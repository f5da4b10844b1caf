"""Which GPUs are used; there may be none."""

from common.settings import Devices
from supervisor.devices import Gpu, chosen, find_gpus, names

GPUS = (
    Gpu("GPU-aaaa", "00000000:65:00.0", "NVIDIA L4", 1),
    Gpu("GPU-bbbb", "00000000:66:00.0", "NVIDIA L4", 1),
)


def test_a_gpu_goes_by_uuid_and_by_every_form_of_its_pci_id() -> None:
    assert names(GPUS[0]) >= {"gpu-aaaa", "00000000:65:00.0", "0000:65:00.0", "65:00.0"}


def test_excluded_gpus_are_left_out() -> None:
    assert chosen(GPUS, Devices()) == GPUS
    for name in ("GPU-AAAA", "0000:65:00.0", "65:00.0"):
        assert chosen(GPUS, Devices(exclude=(name,))) == GPUS[1:]


def test_unused_gpus_are_not_looked_for() -> None:
    assert find_gpus(Devices(use_gpus=False)) == ()


def test_a_host_without_a_driver_has_none_and_that_is_no_fault() -> None:
    assert isinstance(find_gpus(Devices()), tuple)

"""tests/kit/gpu_choice.py: each test process sees one GPU, whatever the host has."""

import pytest

from tests.kit.gpu_choice import allowed_gpus, choose_gpu, set_up

FOUR = ["GPU-a1", "GPU-b2", "GPU-c3", "GPU-d4"]


@pytest.mark.parametrize(
    ("visible", "allowed"),
    [
        (None, FOUR),
        ("2", ["GPU-c3"]),
        ("3, 1", ["GPU-d4", "GPU-b2"]),
        ("GPU-b2,GPU-a1", ["GPU-b2", "GPU-a1"]),
        ("GPU-d", ["GPU-d4"]),
        ("1,9,2", ["GPU-b2"]),  # as CUDA: nothing counts behind what names no GPU
        ("GPU-", []),  # nor what names several
        ("MIG-7f,0", ["MIG-7f", "GPU-a1"]),
        ("-1", []),
        ("", []),
    ],
)
def test_only_gpus_that_the_environment_allows_are_used(
    visible: str | None, allowed: list[str]
) -> None:
    assert allowed_gpus(FOUR, visible) == allowed


def test_one_gpu_is_visible_on_a_host_with_several() -> None:
    environment: dict[str, str] = {}
    set_up(environment, FOUR)
    assert environment["CUDA_VISIBLE_DEVICES"] == "GPU-a1"
    assert environment["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID", "as NVML counts"
    assert environment["TFARM_TEST_GPUS"] == ",".join(FOUR)


def test_processes_of_xdist_share_the_gpus_out_though_the_first_has_chosen_already() -> None:
    environment: dict[str, str] = {"CUDA_VISIBLE_DEVICES": "0,1,2"}
    set_up(environment, FOUR)  # the process that starts the others
    chosen = []
    for worker in ("gw0", "gw1", "gw2", "gw3"):
        inherited = {**environment, "PYTEST_XDIST_WORKER": worker}
        set_up(inherited, FOUR)
        chosen.append(inherited["CUDA_VISIBLE_DEVICES"])
    assert chosen == ["GPU-a1", "GPU-b2", "GPU-c3", "GPU-a1"]


def test_where_none_is_allowed_none_is_visible() -> None:
    environment = {"CUDA_VISIBLE_DEVICES": "-1"}
    set_up(environment, FOUR)
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
    assert choose_gpu([]) == ""

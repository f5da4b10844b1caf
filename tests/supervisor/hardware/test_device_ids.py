"""One GPU, many spellings."""

import pytest

from supervisor.hardware.device_ids import canonical, is_called, value_of

UUID = "GPU-4f2b7a10-0c2d-4e5f-8a9b-0123456789ab"
ALIASES = (UUID, "00000000:65:00.0", "")


@pytest.mark.parametrize(
    "name",
    [
        UUID,
        UUID.upper(),
        UUID.removeprefix("GPU-"),
        f" {UUID} ",
        "00000000:65:00.0",
        "0000:65:00.0",
        "0:65:0.0",
        "65:00.0",
        "65:00",
        "PCI:0000:65:00.0",
    ],
)
def test_every_spelling_of_a_gpu_is_that_gpu(name: str) -> None:
    assert is_called([name], ALIASES)


@pytest.mark.parametrize(
    "name", ["", "65", "00000001:65:00.0", "65:00.1", "66:00.0", UUID[:-1], "GPU-", "NVIDIA L4"]
)
def test_what_is_not_its_name_is_another(name: str) -> None:
    assert not is_called([name], ALIASES)


def test_hex_digits_have_no_case_and_other_names_neither() -> None:
    assert canonical("0000:AF:00.0") == canonical("af:0.0") == "00000000:af:00.0"
    assert is_called(["MIG-x"], ["mig-X"])


def test_a_table_is_read_by_any_spelling() -> None:
    table = {"0000:65:00.0": 3.0, "66:00.0": 4.0}
    assert value_of(table, ALIASES) == 3.0
    assert value_of(table, ("GPU-x",)) is None

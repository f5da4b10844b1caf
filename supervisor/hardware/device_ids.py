"""The names by which people call a GPU, brought to one form. Pure.

NVML, nvidia-smi, lspci and CUDA write the same GPU differently: "GPU-4F2B…" and "4f2b…",
"00000000:65:00.0", "0000:65:00.0", "65:00.0", "65:00". A name that is none of these equals only
itself, whatever its case.
"""

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")

_PCI = re.compile(
    r"(?:pci:)?(?:([0-9a-f]{1,8}):)?([0-9a-f]{1,2}):([0-9a-f]{1,2})(?:\.([0-7]))?", re.IGNORECASE
)
_UUID = re.compile(
    r"(?:gpu-)?([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})", re.IGNORECASE
)


def canonical(name: str) -> str:
    """One spelling for all that mean the same GPU."""
    text = name.strip()
    if uuid := _UUID.fullmatch(text):
        return f"gpu-{uuid[1].lower()}"
    if pci := _PCI.fullmatch(text):
        domain, bus, slot, function = (int(part or "0", 16) for part in pci.groups())
        return f"{domain:08x}:{bus:02x}:{slot:02x}.{function}"
    return text.lower()


def is_called(names: Iterable[str], aliases: Iterable[str]) -> bool:
    """Tell if one of `names`, as a person wrote them, is one of a GPU's `aliases`."""
    return not {canonical(name) for name in names}.isdisjoint(map(canonical, filter(None, aliases)))


def value_of(by_name: Mapping[str, T], aliases: Iterable[str]) -> T | None:
    """Look the GPU with these aliases up in a table by device name."""
    wanted = {canonical(alias) for alias in aliases if alias}
    for name, value in by_name.items():
        if canonical(name) in wanted:
            return value
    return None

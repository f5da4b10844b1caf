"""From what devices were measured to do, to the file that a configuration includes. Pure.

A device's capacity is what its dearest template fills, in units by pixel rate; the load of each
template is that capacity over the streams that kept real time. So templates that were not
calibrated fit in as well as their pixel rates allow.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from common.config.ladder import Pipeline, SourceFormat, Template
from common.config.settings import Calibration, Settings
from common.errors import ConfigFault
from common.ipc.identity import CPU
from supervisor.placement.cost import CAPACITY_PER_CORE, DECODE_WEIGHT, stream_cost

_MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Measured:
    """One template on one device."""

    device: str  # CPU or a GPU UUID
    template: str
    result: dict[str, Any]  # worker/bench/calibrate.py's
    problem: str = ""

    @property
    def streams(self) -> int:
        trial = self.result.get("trial")
        return int(trial["streams"]) if trial else 0


def as_calibration(measured: Measured, template: Template) -> Calibration | None:
    """What one stream takes, the load and the unit of cores left open; None: not even one fits."""
    trial = measured.result.get("trial")
    if not trial:
        return None
    width, height, fps = (int(part) for part in measured.result["source"])
    by_rate = replace(
        template,
        cost=None,
        renditions=tuple(replace(rendition, cost=None) for rendition in template.renditions),
    )
    path = Pipeline(measured.result["path"])
    units = stream_cost(by_rate, SourceFormat(width, height, fps=Fraction(fps))).total_on(path)
    streams = int(trial["streams"])
    host_cores = float(measured.result["host_cores"]) if path is Pipeline.SOFTWARE else 1.0
    shares = {
        stage: min(1.0, float(trial[stage]) / streams / host_cores)
        for stage in ("decode", "scale", "encode")
    }
    return Calibration(
        device=measured.device,
        template=template.name,
        path=path,
        source=(width, height, fps),
        streams=streams,
        units=math.ceil(units * 1e6) / 1e6,  # as the file holds it, and no less than it is
        load=0.0,
        decode=shares["decode"],
        scale=shares["scale"],
        encode=shares["encode"] if path is not Pipeline.HYBRID else 0.0,
        memory_bytes=max(0, int(trial["memory_bytes"])) // streams,
        cores=float(trial["cores"]) / streams * CAPACITY_PER_CORE,
    )


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Everything that stands in the file."""

    entries: tuple[Calibration, ...]
    capacity: dict[str, float]  # by device


def combine(new: Iterable[Calibration], old: Iterable[Calibration]) -> Calibrated:
    """New measurements in place of old ones of the same device and template, capacities anew."""
    merged = {(entry.device, entry.template): entry for entry in old}
    merged |= {(entry.device, entry.template): entry for entry in new}
    capacity: dict[str, float] = {}
    for entry in merged.values():
        filled = math.ceil(entry.streams * _own_units(entry) * 1e3) / 1e3
        capacity[entry.device] = min(filled, capacity.get(entry.device, filled))
    entries = tuple(
        # rounded down: so many must fit in, not one fewer
        replace(entry, load=math.floor(capacity[entry.device] / entry.streams * 1e6) / 1e6)
        for entry in merged.values()
    )
    return Calibrated(entries, capacity)


def _own_units(entry: Calibration) -> float:
    """What of the stream's units loads the device itself: in hybrid the host encodes."""
    if entry.path is not Pipeline.HYBRID:
        return entry.units
    width, height, fps = entry.source
    return DECODE_WEIGHT * width * height * fps / 1e6


def without_template(settings: Settings) -> list[ConfigFault]:
    """Measurements of templates that are not there (any more): nothing uses them."""
    return [
        ConfigFault(f"calibration[{index}].template", f'there is no template "{entry.template}"')
        for index, entry in enumerate(settings.calibration)
        if settings.template(entry.template) is None
    ]


def rescaled(entries: Iterable[Calibration], had: float, has: float) -> tuple[Calibration, ...]:
    """Their cores in the unit of which the host has `has`, from that of which it had `had`."""
    factor = has / had if had else 1.0
    return tuple(replace(entry, cores=entry.cores * factor) for entry in entries)


def to_toml(found: Calibrated, comment: Sequence[str]) -> str:
    """The file's text."""
    lines = [f"# {line}" for line in comment]
    if CPU in found.capacity:
        lines += ["", "[software]", f"capacity = {_number(found.capacity[CPU])}"]
    gpus = {name: value for name, value in found.capacity.items() if name != CPU}
    if gpus:
        lines += ["", "[devices.capacity]"]
        lines += [f'"{name}" = {_number(value)}' for name, value in gpus.items()]
    for entry in found.entries:
        width, height, fps = entry.source
        lines += [
            "",
            "[[calibration]]",
            f'device = "{entry.device}"',
            f'template = "{entry.template}"',
            f'path = "{entry.path.value}"',
            f'source = "{width}x{height}@{fps}"',
            f"streams = {entry.streams}",
            f"units = {_number(entry.units)}",
            f"load = {_number(entry.load)}",
            f"decode = {_number(entry.decode)}",
            f"scale = {_number(entry.scale)}",
            f"encode = {_number(entry.encode)}",
            f"memory = {entry.memory_bytes}",
            f"cores = {_number(entry.cores)}",
        ]
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    """At most six digits behind the point, and no exponent."""
    return f"{value:.6f}".rstrip("0").rstrip(".") + (".0" if value == int(value) else "")


COLUMNS = (
    "device",
    "template",
    "used as",
    ">streams",
    ">p99 ms",
    ">decode %",
    ">scale %",
    ">encode %",
    ">MiB",
    ">cores",
    "remark",
)


def rows(measured: Iterable[Measured], templates: dict[str, Template]) -> list[list[str]]:
    """For the terminal: shares, memory and cores are of one stream."""
    table = []
    for item in measured:
        entry = as_calibration(item, templates[item.template]) if not item.problem else None
        if entry is None:
            remark = item.problem or "not even one stream keeps real time"
            path = item.result.get("path", "")
            table.append([item.device, item.template, path, "0", *[""] * 6, remark])
            continue
        width, height, fps = entry.source
        table.append(
            [
                item.device,
                item.template,
                entry.path.value,
                str(entry.streams),
                f"{item.result['trial']['p99_ms']:.1f}",
                f"{entry.decode:.2%}".rstrip("%"),
                f"{entry.scale:.2%}".rstrip("%"),
                f"{entry.encode:.2%}".rstrip("%"),
                f"{entry.memory_bytes / _MIB:.0f}" if entry.memory_bytes else "-",
                f"{entry.cores / CAPACITY_PER_CORE:.3f}",
                f"source {width}x{height}@{fps}",
            ]
        )
    return table


def busy_devices(status: dict[str, Any], device: str) -> list[str]:
    """What a running farm has on a device that would be calibrated, in words; none: go on.

    Streams of hybrid GPUs and of software share the host's cores.
    """
    words = []
    for shown in status["devices"]:
        uses_cores = shown["path"] in (Pipeline.SOFTWARE.value, Pipeline.HYBRID.value)
        is_it = shown["device"] == device or (device == CPU and uses_cores)
        if is_it and shown["streams"]:
            words.append(f"{shown['streams']} streams run on {shown['name']}")
    return words

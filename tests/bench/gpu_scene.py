"""What the scenes of `gpu_farm` share: sizes, the configuration, the table, gaps and losses."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from common.config.ladder import Rendition, Template
from tests.bench.gpu_clip import Clip
from tests.bench.gpu_fleet import Played, Sent

IN_FLIGHT_S = 0.05  # pictures that were on their way when a worker died


@dataclass(frozen=True)
class Size:
    """How large everything is."""

    source: tuple[int, int, int, int]  # width, height, pictures of a loop, bit/s
    renditions: tuple[tuple[str, int, int, int], ...]  # name, width, height, bit/s
    streams: int  # of the balance
    settle_s: float
    window_s: float  # in which a load is measured
    loads: tuple[float, ...] = (0.5, 0.6, 0.66, 0.72, 0.78, 0.84, 0.9, 0.96, 1.02)  # of the ceiling
    threads_too: bool = True  # the ceiling of one process beside it


FULL = Size(
    source=(1920, 1080, 240, 6_000_000),
    renditions=(
        ("720p", 1280, 720, 2_500_000),
        ("480p", 854, 480, 1_200_000),
        ("360p", 640, 360, 700_000),
    ),
    streams=12,
    settle_s=4.0,
    window_s=6.0,
)
SHORT = replace(FULL, settle_s=2.4, window_s=5.0, threads_too=False)
TINY = Size(
    source=(384, 216, 120, 400_000),
    renditions=(
        ("720p", 320, 180, 200_000),
        ("480p", 256, 144, 150_000),
        ("360p", 192, 108, 100_000),
    ),
    streams=4,
    settle_s=2.0,
    window_s=3.0,
)


@dataclass(frozen=True)
class Row:
    """One line of the table; `holds` None: nothing was asked of it."""

    name: str
    value: str
    holds: bool | None = None

    def line(self) -> str:
        mark = {True: "ok    ", False: "FAILED", None: "      "}[self.holds]
        return f"{mark} {self.name}: {self.value}"


@dataclass
class Table:
    """What a scene found."""

    rows: list[Row] = field(default_factory=list)

    def add(self, name: str, value: str) -> None:
        self.rows.append(Row(name, value))

    def check(self, name: str, value: str, holds: bool) -> None:
        self.rows.append(Row(name, value, bool(holds)))


@dataclass(frozen=True)
class Scene:
    """What a scene gets."""

    gpus: tuple[str, ...]  # UUIDs
    cores: tuple[int, ...]
    clip: Clip
    size: Size
    out: Path
    nvenc_sim: Path | None
    streams: tuple[int, ...] = ()  # loads of `hybrid` by number
    encoder_processes: int | None = None  # None: as the farm chooses
    together: bool = False  # `hybrid`: the clients are on the farm's cores, their CPU is subtracted
    until_s: float = float("inf")  # CLOCK_MONOTONIC by which it must be over

    def config(
        self,
        *,
        exclude: Sequence[str] = (),
        software: str = "workers = 0",
        apps: Mapping[str, Sequence[str]] | None = None,
        vbr: str = "",
        is_simulated: bool = False,
    ) -> str:
        """A farm's TOML; `apps` gives each app's policy, `vbr` names a rendition.

        `is_simulated`: the stand-in for NVENC writes files, so workers are not in a sandbox.
        """
        width, height, *_ = self.size.source
        excluded = ", ".join(f'"{name}"' for name in exclude)
        given = self.encoder_processes
        workers = f"encoder_processes = {given}\n" if given is not None else ""
        text = "sandbox = false\n" if is_simulated else ""
        text += (
            f'[listen]\nrtmp = "127.0.0.1:0"\n[devices]\nexclude = [{excluded}]\n{workers}'
            f"[software]\n{software}\n"
        )
        for app, policy in (apps or {"live": ("gpu-only", "hybrid", "refuse")}).items():
            paths = ", ".join(f'"{path}"' for path in policy)
            text += (
                f'[templates.{app}]\ngop = "2s"\nhold = "5s"\nwait = "10s"\n'
                f'max_source = "{width}x{height}@30"\npolicy = [{paths}]\n'
            )
            for name, rendition_width, rendition_height, bitrate_bps in self.size.renditions:
                text += (
                    f'[[templates.{app}.renditions]]\nname = "{name}"\nwidth = {rendition_width}\n'
                    f"height = {rendition_height}\nbitrate = {bitrate_bps}\n"
                )
                text += 'rc = "vbr"\n' if name == vbr else ""
        return text

    def template(self) -> Template:
        """The configuration's ladder."""
        renditions = [Rendition(*rendition) for rendition in self.size.renditions]
        return Template("live", tuple(renditions))

    def simulator(self, settings: Mapping[str, str]) -> dict[str, str]:
        """Environment that puts the driver simulator before the driver."""
        if self.nvenc_sim is None:
            raise RuntimeError("no --nvenc-sim given")
        path = ":".join(filter(None, [str(self.nvenc_sim), os.environ.get("LD_LIBRARY_PATH")]))
        return {"LD_LIBRARY_PATH": path, **settings}


def first_new_s(player: Played, moment_s: float) -> tuple[float, float]:
    """From a moment to the first new picture after it, and the longest gap around it."""
    times = [picture.came_s for picture in player.pictures]
    before = [at for at in times if at <= moment_s + IN_FLIGHT_S]
    after = [at for at in times if at > moment_s + IN_FLIGHT_S]
    if not before or not after:
        return float("inf"), float("inf")
    near = [at for at in times if moment_s - 0.5 < at < moment_s + 5.0]
    gaps = [b - a for a, b in pairwise(near)]
    return after[0] - moment_s, max([*gaps, after[0] - before[-1]])


def missing(player: Played, sent: Sent, from_s: float, to_s: float) -> int:
    """Pictures that were sent in a span and never came; of those that came twice, one too many."""
    stamps = player.stamps()
    return len(gone(player, sent, from_s, to_s)) + len(stamps) - len(set(stamps))


def gone(player: Played, sent: Sent, from_s: float, to_s: float) -> list[int]:
    """The DTS of pictures that were sent in a span and never came."""
    came = set(player.stamps())
    first, last = min(came, default=-1), max(came, default=1 << 62)
    return sorted(
        dts_ms
        for dts_ms, left_s in sent.left_s.items()
        if from_s <= left_s <= to_s and first <= dts_ms <= last and dts_ms not in came
    )

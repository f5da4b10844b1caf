"""A figure with its peer's beside it, and the line that says how they compare."""

import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

Row = Mapping[str, str | float]  # of a table, by its columns


@dataclass(frozen=True)
class Figure:
    """One measured figure. The limit is on the ratio when there is a peer, else on the value."""

    name: str
    value: float
    unit: str
    limit: float | None = None  # at most
    peer: str = ""
    peer_value: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return self.value / self.peer_value if self.peer_value else None

    @property
    def holds(self) -> bool | None:
        if self.limit is None:
            return None
        measured = self.ratio if self.peer_value is not None else self.value
        return measured is not None and measured <= self.limit

    def line(self) -> str:
        parts = [f"{self.name:<44} {self.value:>9.3f} {self.unit}"]
        if self.peer_value is not None and self.ratio is not None:
            parts.append(f"{self.peer} {self.peer_value:.3f} {self.unit}  ratio {self.ratio:.3f}")
        if self.limit is not None:
            parts.append(f"(at most {self.limit:g}: {'holds' if self.holds else 'MISSED'})")
        if self.note:
            parts.append(f"[{self.note}]")
        return "  ".join(parts)


@dataclass
class Bench:
    """What a bench module gets: how often to run, and where figures go."""

    runs: int = 5
    viewers: tuple[int, ...] = ()  # in place of a bench's own steps
    seconds: float = 0.0  # of each of them, in place of the bench's own; 0: that
    processes: int = 1  # that serve them, where a farm may have several
    clip: Path | None = None  # in place of one that is made
    figures: list[Figure] = field(default_factory=list)
    tables: dict[str, list[Row]] = field(default_factory=dict)

    def add(self, figure: Figure) -> None:
        self.figures.append(figure)
        print(figure.line(), flush=True)

    def row(self, title: str, row: Row) -> None:
        """Print a row of a table as soon as it is known; all of its rows have the same columns."""
        rows = self.tables.setdefault(title, [])
        if not rows:
            print(f"\n{title}:\n\n| {' | '.join(row)} |\n|{'---|' * len(row)}")
        rows.append(row)
        print(f"| {' | '.join(map(str, row.values()))} |", flush=True)

    def document(self) -> str:
        """All figures and tables, as JSON."""
        figures = [asdict(one) | {"ratio": one.ratio, "holds": one.holds} for one in self.figures]
        found = {"machine": machine(), "figures": figures, "tables": self.tables}
        return json.dumps(found, indent=2) + "\n"

    def say(self, text: str) -> None:
        """Progress, apart from the figures."""
        print(f"  … {text}", file=sys.stderr, flush=True)

    def alternate(
        self, ours: Callable[[], float], peer: Callable[[], float]
    ) -> tuple[float, float]:
        """Medians of both, run in turns, so that a slow minute of the machine hits both."""
        mine, theirs = [], []
        for _ in range(self.runs):
            mine.append(ours())
            theirs.append(peer())
        return statistics.median(mine), statistics.median(theirs)


def percentile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def machine() -> str:
    """What all figures of a run are of."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores of {model}, Python {platform.python_version()}, load {load:.1f}"

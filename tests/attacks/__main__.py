"""`python -m tests.attacks [--only NAME …] [--write]`: attacks running farms, one each.

Prints a table; `--write` puts it into docs/reliability.md; with `--only` these rows alone, and the
others stay as they are. Exit code 1 when an attack did more harm than its limit allows. Each attack
is a function of a module beside this one that gives its row; `stage.py` has what they share.
"""

import argparse
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from tests.attacks import local, rtmp, sources
from tests.attacks.stage import Result
from tests.faults.__main__ import merged

ATTACKS: Mapping[str, Callable[[], Result]] = {
    "nulls_1": partial(rtmp.nulls, 1),
    "nulls_50": partial(rtmp.nulls, 50),
    "known_1": partial(rtmp.known_command_nulls, 1),
    "known_50": partial(rtmp.known_command_nulls, 50),
    "chunk_1": partial(rtmp.chunk_size_one, 1),
    "chunk_50": partial(rtmp.chunk_size_one, 50),
    "play_1": partial(rtmp.play_flood, 1),
    "play_50": partial(rtmp.play_flood, 50),
    "stalled_players": rtmp.stalled_players,
    "huge_refused": sources.huge_refused,
    "huge_allowed": sources.huge_allowed,
    "idle_handovers": local.idle_handovers,
}

DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- attacks: begin -->", "<!-- attacks: end -->"
HEADINGS = (
    "attack",
    "largest gap before",
    "largest gap",
    "slowest newcomer",
    "attacker",
    "farm's CPU",
    "limit",
    "holds",
)


def cells(row: Result) -> tuple[str, ...]:
    limit = f"{row.limit} ({row.note})" if row.note else row.limit
    return (
        row.attack,
        f"{row.gap_before_s * 1000:.0f} ms",
        f"{row.gap_s * 1000:.0f} ms",
        f"{row.newcomer_s:.2f} s",
        row.attacker,
        row.farm,
        limit,
        "yes" if row.ok else "**no**",
    )


def line(row: Result) -> str:
    return f"| {' | '.join(cells(row))} |"


def table(lines: Iterable[str]) -> str:
    head = [f"| {' | '.join(HEADINGS)} |", f"|{'---|' * len(HEADINGS)}"]
    return "\n".join([*head, *lines])


def write(rows: list[Result], *, is_whole: bool) -> None:
    """Put the table between the markers of the document."""
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    inside, _, after = rest.partition(END)
    lines = list(map(line, rows))
    machine = (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, "
        f"load {os.getloadavg()[0]:.1f} at the end, {time.strftime('%Y-%m-%d', time.gmtime())}."
    )
    if not is_whole and inside.strip():
        machine = inside.strip().splitlines()[0]
        old = [text for text in inside.splitlines() if text.startswith("| ")]
        lines = merged(old[1:], lines)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{machine}\n\n{table(lines)}\n{END}{after}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.attacks")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=ATTACKS, default=[])
    parser.add_argument("--write", action="store_true", help="put the table into the docs")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.only or ATTACKS:
        began = time.monotonic()
        try:
            row = ATTACKS[name]()
        except Exception as error:
            traceback.print_exc()
            row = Result(name, note=f"{type(error).__name__}: {error}"[:200].replace("\n", " "))
        rows.append(row)
        took_s = time.monotonic() - began
        print(f"{name} ({took_s:.0f} s): " + " | ".join(cells(row)[1:]), flush=True)
    print("\n" + table(map(line, rows)))
    if arguments.write:
        write(rows, is_whole=not arguments.only)
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

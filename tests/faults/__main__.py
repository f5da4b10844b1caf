"""`python -m tests.faults [--only NAME …] [--write]`: injects faults into running farms, one each.

Prints a table; `--write` puts it into docs/reliability.md; with `--only` these rows alone, and the
others stay as they are. Exit code 1 when a fault did more harm
than its limit allows. Each fault is a function of a module beside this one that gives its row.
"""

import argparse
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.faults import connections, kills, media, overload, processes, scene
from tests.faults.scene import Result

FAULTS: tuple[Callable[[], Result], ...] = (
    processes.kill_worker,
    processes.stop_worker,
    processes.kill_worker_twice,
    processes.kill_worker_of_the_absent,
    overload.memory_is_short,
    processes.kill_supervisor,
    processes.no_supervisor,
    processes.kill_egress,
    processes.kill_ingest,
    processes.kill_one_egress,
    processes.kill_one_ingest,
    kills.kill_at_random,
    processes.drain_device,
    overload.overload,
    media.publisher_vanishes,
    media.publisher_is_silent,
    media.publisher_returns,
    media.corrupt_bitstream,
    media.other_size,
    media.other_parameter_sets,
    media.time_jump,
    media.time_wrap,
    connections.players_come_and_go,
    connections.player_that_never_reads,
    connections.half_handshakes,
    connections.one_address_floods,
    connections.reconnects,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
HEADINGS = (
    "fault",
    "streams hit",
    "frames lost a stream",
    "first new frame",
    "players disconnected",
    "limit",
    "holds",
)


def cells(row: Result) -> tuple[str, ...]:
    lost = "-" if row.lost is None else str(row.lost)
    if row.repeated:
        lost += f", {row.repeated} repeated"
    if row.others_lost:
        lost += f", others {row.others_lost}"
    first = "-" if row.first_frame_s is None else f"{row.first_frame_s:.2f} s"
    limit = f"{row.limit} ({row.note})" if row.note else row.limit
    held = "yes" if row.ok else "**no**"
    return row.fault, str(row.affected), lost, first, str(row.disconnected), limit, held


def line(row: Result) -> str:
    return f"| {' | '.join(cells(row))} |"


def table(lines: Iterable[str]) -> str:
    head = [f"| {' | '.join(HEADINGS)} |", f"|{'---|' * len(HEADINGS)}"]
    return "\n".join([*head, *lines])


def merged(old: Iterable[str], new: Iterable[str]) -> list[str]:
    """The old lines with the new ones of the same fault in their places, and the others behind."""
    found = {text.split(" | ")[0]: text for text in old}
    return list((found | {text.split(" | ")[0]: text for text in new}).values())


def write(rows: list[Result], *, is_whole: bool) -> None:
    """Put the table between the markers of the document."""
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    inside, _, after = rest.partition(END)
    lines = list(map(line, rows))
    if is_whole:
        machine = (
            f"{os.cpu_count()} cores, Python {platform.python_version()}, "
            f"load {os.getloadavg()[0]:.1f} at the end, {time.strftime('%Y-%m-%d', time.gmtime())}."
        )
    else:
        machine = inside.strip().splitlines()[0]
        old = [text for text in inside.splitlines() if text.startswith("| ")]
        lines = merged(old[1:], lines)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{machine}\n\n{table(lines)}\n{END}{after}")


def main() -> int:
    by_name = {fault.__name__: fault for fault in FAULTS}
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=by_name, default=[])
    parser.add_argument("--write", action="store_true", help="put the table into the docs")
    parser.add_argument("--debug", action="store_true", help="farms log everything")
    arguments = parser.parse_args()
    if arguments.debug:
        scene.LOG_LEVEL = "DEBUG"
    rows = []
    for name in arguments.only or by_name:
        began = time.monotonic()
        try:
            row = by_name[name]()
        except Exception as error:
            traceback.print_exc()
            row = Result(name, 0, note=f"{type(error).__name__}: {error}"[:200].replace("\n", " "))
        rows.append(row)
        took_s = time.monotonic() - began
        print(f"{name} ({took_s:.0f} s): " + " | ".join(cells(row)[1:]), flush=True)
    print("\n" + table(map(line, rows)))
    if arguments.write:
        write(rows, is_whole=not arguments.only)
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tests.faults [--cluster] [--only NAME …] [--write]`: injects faults, one a row.

Prints a table; `--write` puts it into docs/reliability.md; with `--only` these rows alone, and the
others stay as they are. Exit code 1 when a fault did more harm
than its limit allows. Each fault is a function of a module beside this one that gives its row.
"""

import sys
from collections.abc import Callable

from tests.faults import (
    browsers,
    connections,
    encoders,
    inputs,
    kills,
    media,
    on_demand,
    overload,
    processes,
    scene,
)
from tests.faults.scene import Result
from tests.kit.measured_table import MeasuredTable, holds, with_note

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
    on_demand.demand_worker,
    on_demand.demand_supervisor,
    on_demand.demand_egress,
    on_demand.demand_ingest,
    inputs.kill_srt,
    inputs.kill_whip,
    kills.kill_at_random,
    encoders.kill_encoder,
    encoders.stop_encoder,
    encoders.encoders_come_and_go,
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
    browsers.browsers_worker,
    browsers.browsers_egress,
    browsers.browsers_web,
    browsers.browsers_rtc,
    browsers.browsers_publisher,
    browsers.browsers_publisher_long,
    browsers.browsers_upgrade,
)

HEADINGS = (
    "fault",
    "streams hit",
    "frames lost a stream",
    "first new frame",
    "players disconnected",
    "longest wait in a browser",
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
    limit = with_note(row.limit, row.note)
    players = str(row.disconnected)
    seen = row.browsers or "-"
    return row.fault, str(row.affected), lost, first, players, seen, limit, holds(row.ok)


TABLE = MeasuredTable("faults", HEADINGS, cells, lambda name, note: Result(name, 0, note=note))


def main() -> int:
    """Run rows of one host, or with `--cluster` first those of three with a network between."""
    if "--cluster" not in sys.argv:
        return TABLE.main({fault.__name__: fault for fault in FAULTS}, scene.log_everything)
    from tests.hosts import faults, network

    sys.argv.remove("--cluster")
    if why_not := network.why_not():
        print(f"skipped: {why_not}")
        return 0
    return faults.TABLE.main({f.__name__: f for f in faults.FAULTS}, scene.log_everything)


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tests.browsers [WAY …] [--seconds N] [--size 360p]`: delays in a real browser.

For each way that is served, from a picture's last byte at ingest to its presentation in Chromium:
the median, the 95th percentile and the longest; stalls, faults, and the drift of the sound.
`--together` watches by all ways at the same time, on a machine that has cores for it. `--write`
puts the table into docs/browsers.md, `--json` everything into a file. Exit code 1 where a limit is
missed. The limits of delays are those of an idle machine: `--smoke` asks only that pictures come,
and no decoder fails. The way `file` is a plain MP4 file, without tfarm: Chromium's sound moves
against its pictures there, too, so what another way is moved by counts from there.
"""

import argparse
import itertools
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from tests.browsers.rig import FILE, SIZES, WAYS, Measured, NotMeasured, served, stage, watch

LIMITS_MS = {"whep": 150, "flv": 400, "shaka": 1500, "hls": 2000}
MAX_DRIFT_MS = 20.0
HEARD_FROM_S = 40.0  # in so long a time the sound must be heard
SMOKE_FPS = 2
HEADINGS = (
    "way", "watched", "pictures", "median", "95 % below", "longest", "stalls", "dropped", "faults",
    "sound moved", "limit", "holds",
)  # fmt: skip
DOCUMENT = Path(__file__).parents[2] / "docs" / "browsers.md"
BEGIN, END = "<!-- browsers: begin -->", "<!-- browsers: end -->"


def holds(one: Measured, plain_ms: float) -> bool:
    """Tell if a viewer had what is promised; `plain_ms`: the sound of a file moved by so much."""
    figures = one.figures
    is_steady = not figures.stalls and not one.faults and not figures.repeated
    in_time = one.way == FILE or figures.median_ms <= LIMITS_MS.get(one.way, 10_000)
    if figures.drift_ms is None:
        is_in_step = figures.seconds < HEARD_FROM_S
    else:
        moved = abs(figures.drift_ms), abs(figures.drift_ms - plain_ms)
        is_in_step = one.way == FILE or min(moved) <= MAX_DRIFT_MS
    return one.is_whole and is_steady and in_time and is_in_step


def works(one: Measured, _: float) -> bool:
    """Tell if pictures came, however late and few: a machine may have much else to do."""
    is_sound = not any(fault.startswith("error") for fault in one.faults)
    return one.is_whole and is_sound and one.figures.pictures > SMOKE_FPS * one.figures.seconds


def line(one: Measured, ok: bool) -> str:
    figures = one.figures
    drift = "not heard"
    if figures.sound_ms is not None:
        drift = (
            f"{figures.drift_ms:.0f} ms ({figures.sound_ms[0]:.0f} to {figures.sound_ms[-1]:.0f})"
        )
    times = (figures.median_ms, figures.p95_ms, figures.most_ms)
    delays = ["-" if one.way == FILE else f"{time_ms:.0f} ms" for time_ms in times]
    cells = (
        one.way,
        f"{figures.seconds:.0f} s" + ("" if one.is_whole else ", ended early"),
        str(figures.pictures),
        *delays,
        f"{figures.stalls}" + (f" ({figures.stalled_ms:.0f} ms)" if figures.stalls else ""),
        str(one.dropped),
        str(len(one.faults)),
        drift,
        f"≤ {LIMITS_MS[one.way]} ms" if one.way in LIMITS_MS else "-",
        "yes" if ok else "**no**",
    )
    return f"| {' | '.join(cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.browsers")
    parser.add_argument("ways", nargs="*", metavar="WAY", help=", ".join(WAYS))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--size", choices=SIZES, default="720p")
    parser.add_argument("--together", action="store_true", help="all ways at the same time")
    parser.add_argument("--gpus", action="store_true", help="let GPUs decode and scale")
    parser.add_argument("--smoke", action="store_true", help="ask for no delay")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was seen")
    parser.add_argument("--write", action="store_true", help=f"put it into {DOCUMENT.name}")
    options = parser.parse_args()
    if unknown := set(options.ways) - set(WAYS):
        parser.error(f"no such way: {', '.join(sorted(unknown))}")
    if shutil.which("chromium") is None:
        print("chromium is not installed: apt-get install chromium", file=sys.stderr)
        return 2
    judge = works if options.smoke else holds
    lines, found, is_good, plain_ms = [], [], True, 0.0
    with (
        tempfile.TemporaryDirectory(prefix="tfarm-browsers-") as folder,
        stage(Path(folder), SIZES[options.size], options.seconds, gpus=options.gpus) as on,
    ):
        ways = options.ways or served(on)
        groups = [ways] if options.together else [[way] for way in ways]
        for way, seen in itertools.chain(*(watch(group, on, options.seconds) for group in groups)):
            if isinstance(seen, NotMeasured):
                print(f"{way}: not measured: {seen}", flush=True)
                found.append({"way": way, "holds": False, "error": str(seen)})
                is_good = False
                continue
            if seen.way == FILE:
                plain_ms = seen.figures.drift_ms or 0.0
            ok = judge(seen, plain_ms)
            is_good = is_good and ok
            lines.append(line(seen, ok))
            found.append({**asdict(seen), "holds": ok})
            print(lines[-1], *seen.faults[:5], flush=True)
        if options.json:
            options.json.write_text(json.dumps(found, indent=1))
    head = f"| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}"
    table = "\n".join((head, *lines))
    print(f"\n{table}")
    if options.write:
        how = "all at the same time" if options.together else "one after the other"
        how += ", decoded and scaled by a GPU" if options.gpus else ""
        write(table, f"{options.size}30, {options.seconds:.0f} s each, {how}")
    return 0 if is_good else 1


def write(table: str, how: str) -> None:
    today = time.strftime("%Y-%m-%d", time.gmtime())
    load = os.getloadavg()[0]
    said = f"{how}, {os.cpu_count()} cores, load {load:.1f}, {today}."
    text = DOCUMENT.read_text()
    before, _, rest = text.partition(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{said}\n\n{table}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    sys.exit(main())

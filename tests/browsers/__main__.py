"""`python -m tests.browsers [WAY …] [--seconds N] [--size 360p]`: delays in a real browser.

For each way that is served, from a picture's last byte at ingest to its presentation in Chromium:
the median, the 95th percentile and the longest; stalls, faults, and the drift of the sound.
`--write` puts the table into docs/browsers.md. Exit code 1 where a limit is missed. The limits of
delays are those of an idle machine: `--smoke` asks only that pictures come, and no decoder fails.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.browsers.rig import OPTIONS, SIZES, WAYS, Measured, NotMeasured, served, stage, watch
from tests.kit.browser import Browser

LIMITS_MS = {"whep": 150, "flv": 400, "shaka": 1500, "hls": 2000}
MAX_DRIFT_MS = 20.0
SMOKE_FPS = 2
HEADINGS = (
    "way", "pictures", "median", "95 % below", "longest", "stalls", "dropped", "sound moved",
    "limit", "holds",
)  # fmt: skip
DOCUMENT = Path(__file__).parents[2] / "docs" / "browsers.md"
BEGIN, END = "<!-- browsers: begin -->", "<!-- browsers: end -->"


def holds(one: Measured) -> bool:
    """Tell if a viewer had what is promised."""
    figures = one.figures
    is_steady = not figures.stalls and not one.faults and not figures.repeated
    in_time = figures.median_ms <= LIMITS_MS.get(one.way, 10_000)
    return is_steady and in_time and abs(figures.drift_ms or 0.0) <= MAX_DRIFT_MS


def works(one: Measured) -> bool:
    """Tell if pictures came, however late and few: a machine may have much else to do."""
    is_sound = not any(fault.startswith("error") for fault in one.faults)
    return is_sound and one.figures.pictures > SMOKE_FPS * one.figures.seconds


def line(one: Measured, ok: bool) -> str:
    figures = one.figures
    drift = "not heard" if figures.drift_ms is None else f"{figures.drift_ms:.0f} ms"
    cells = (
        one.way,
        str(figures.pictures),
        f"{figures.median_ms:.0f} ms",
        f"{figures.p95_ms:.0f} ms",
        f"{figures.most_ms:.0f} ms",
        f"{figures.stalls}" + (f" ({figures.stalled_ms:.0f} ms)" if figures.stalls else ""),
        str(one.dropped),
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
    parser.add_argument("--smoke", action="store_true", help="ask for no delay")
    parser.add_argument("--write", action="store_true", help=f"put it into {DOCUMENT.name}")
    options = parser.parse_args()
    if unknown := set(options.ways) - set(WAYS):
        parser.error(f"no such way: {', '.join(sorted(unknown))}")
    if shutil.which("chromium") is None:
        print("chromium is not installed: apt-get install chromium", file=sys.stderr)
        return 2
    judge = works if options.smoke else holds
    lines, is_good = [], True
    with (
        tempfile.TemporaryDirectory(prefix="tfarm-browsers-") as folder,
        stage(Path(folder), SIZES[options.size]) as on,
    ):
        for way in options.ways or served(on):
            try:
                with Browser(*OPTIONS) as browser:
                    seen = watch(browser, way, on, options.seconds)
            except NotMeasured as error:
                print(f"{way}: not measured: {error}", flush=True)
                is_good = False
                continue
            ok = judge(seen)
            is_good = is_good and ok
            lines.append(line(seen, ok))
            print(lines[-1], *seen.faults[:5], flush=True)
    head = f"| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}"
    table = "\n".join((head, *lines))
    print(f"\n{table}")
    if options.write:
        write(table, options.size, options.seconds)
    return 0 if is_good else 1


def write(table: str, size: str, seconds: float) -> None:
    today = time.strftime("%Y-%m-%d", time.gmtime())
    load = os.getloadavg()[0]
    said = f"{size}30, {seconds:.0f} s each, {os.cpu_count()} cores, load {load:.1f}, {today}."
    text = DOCUMENT.read_text()
    before, _, rest = text.partition(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{said}\n\n{table}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    sys.exit(main())

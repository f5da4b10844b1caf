"""`python -m tests.http_clients [CLIENT …]`: every client of this machine plays every address.

`CLIENT` is the beginning of a client's name: `ffmpeg`, `gstreamer`, `hls.js`. `--write` puts the
table into docs/clients.md. Exit code 1 where a client did not play something.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests.http_clients.in_browser import found_players
from tests.http_clients.programs import Play, Played, found_programs
from tests.http_clients.variants import VARIANTS, Variant, stage

SECONDS: Final = 5.0
# A program reads as many pictures as there are, a page shows what it finds the time for.
SHARE: Final = {True: 0.97, False: 0.3}
DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "clients.md"
BEGIN, END = "<!-- http-clients: begin -->", "<!-- http-clients: end -->"


def clients() -> dict[str, tuple[str, Play, float]]:
    """Return those of this machine: the kinds of addresses, how each plays, its share."""
    found = {name: ("hls dash flv", play, SHARE[True]) for name, play in found_programs().items()}
    if shutil.which("chromium"):
        for name, (kinds, play) in found_players().items():
            found[name] = kinds, play, SHARE[False]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.http_clients")
    parser.add_argument("clients", nargs="*", metavar="CLIENT", type=str.lower)
    parser.add_argument("--write", action="store_true", help=f"put it into {DOCUMENT.name}")
    options = parser.parse_args()
    chosen = {
        name: client
        for name, client in clients().items()
        if not options.clients or name.lower().startswith(tuple(options.clients))
    }
    cells: dict[tuple[str, str], str] = {}
    is_good = bool(chosen)
    with tempfile.TemporaryDirectory(prefix="tfarm-clients-") as folder, stage(Path(folder)) as on:
        for name, (kinds, play, share) in chosen.items():
            for variant in VARIANTS:
                if variant.kind not in kinds.split():
                    cells[name, variant.name] = ""
                    continue
                played = play(f"{on}/live/{variant.stream}{variant.path}", variant, SECONDS)
                ok = played.ok(share * SECONDS * variant.frame_rate)
                is_good = is_good and ok
                cells[name, variant.name] = "yes" if ok else "**no**"
                print(f"{name}: {variant.name}: {described(played, ok=ok)}", flush=True)
    table = table_of(chosen, VARIANTS, cells)
    print(f"\n{table}")
    if options.write:
        before, _, rest = DOCUMENT.read_text().partition(BEGIN)
        DOCUMENT.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}")
    return 0 if is_good else 1


def described(played: Played, *, ok: bool) -> str:
    """Say what a client showed."""
    faults = "; ".join(played.faults[:3])[:400]
    return f"{played.pictures} pictures {'' if ok else 'NOT OK '}{faults}".rstrip()


def table_of(
    names: Iterable[str], variants: Iterable[Variant], cells: dict[tuple[str, str], str]
) -> str:
    """Draw the table: a line an address, a column a client."""
    columns = list(names)
    lines = [f"| address | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    for one in variants:
        marks = [cells[name, one.name] for name in columns]
        lines.append(f"| {one.name} | {' | '.join(marks)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

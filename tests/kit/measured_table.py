"""Programs whose results are rows of a table in a document: `make faults`, `make attacks`."""

import argparse
import os
import platform
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"


class Row(Protocol):
    """The result of one program."""

    ok: bool


R = TypeVar("R", bound=Row)


@dataclass(frozen=True)
class MeasuredTable(Generic[R]):
    """A table between two markers of the document."""

    name: str  # "faults": of the markers, and of the module that is run
    headings: tuple[str, ...]
    cells: Callable[[R], tuple[str, ...]]
    failed: Callable[[str, str], R]  # the row of a program that raised: its name, and the error

    def main(self, programs: Mapping[str, Callable[[], R]], set_debug: Callable[[], None]) -> int:
        """Run what the command line asks for; the exit code is 1 where a row does not hold."""
        parser = argparse.ArgumentParser(prog=f"python -m tests.{self.name}")
        parser.add_argument("--only", nargs="+", metavar="NAME", choices=programs, default=[])
        parser.add_argument("--write", action="store_true", help="put the table into the docs")
        parser.add_argument("--debug", action="store_true", help="farms log everything")
        arguments = parser.parse_args()
        if arguments.debug:
            set_debug()
        rows = []
        for name in arguments.only or programs:
            began = time.monotonic()
            try:
                row = programs[name]()
            except Exception as error:
                traceback.print_exc()
                note = f"{type(error).__name__}: {error}"[:200].replace("\n", " ")
                row = self.failed(name, note)
            rows.append(row)
            took_s = time.monotonic() - began
            print(f"{name} ({took_s:.0f} s): " + " | ".join(self.cells(row)[1:]), flush=True)
        print("\n" + self._text(map(self._line, rows)))
        if arguments.write:
            whole = DOCUMENT.read_text()
            DOCUMENT.write_text(self.written(whole, rows, is_whole=not arguments.only))
        return 0 if all(row.ok for row in rows) else 1

    def written(self, document: str, rows: list[R], *, is_whole: bool) -> str:
        """Return the document with the table in it.

        Unless it `is_whole`, the rows take the places of those of the same name, or go behind.
        """
        begin, end = f"<!-- {self.name}: begin -->", f"<!-- {self.name}: end -->"
        before, _, rest = document.partition(begin)
        inside, _, after = rest.partition(end)
        lines = list(map(self._line, rows))
        if is_whole or not inside.strip():
            today = time.strftime("%Y-%m-%d", time.gmtime())
            machine = (
                f"{os.cpu_count()} cores, Python {platform.python_version()}, "
                f"load {os.getloadavg()[0]:.1f} at the end, {today}."
            )
        else:
            machine = inside.strip().splitlines()[0]
            old = [text for text in inside.splitlines() if text.startswith("| ")]
            lines = _merged(old[1:], lines)
        return f"{before}{begin}\n{machine}\n\n{self._text(lines)}\n{end}{after}"

    def _line(self, row: R) -> str:
        return f"| {' | '.join(self.cells(row))} |"

    def _text(self, lines: Iterable[str]) -> str:
        head = [f"| {' | '.join(self.headings)} |", f"|{'---|' * len(self.headings)}"]
        return "\n".join([*head, *lines])


def holds(ok: bool) -> str:
    """The last cell of a row."""
    return "yes" if ok else "**no**"


def with_note(limit: str, note: str) -> str:
    """The cell of a limit."""
    return f"{limit} ({note})" if note else limit


def _merged(old: Iterable[str], new: Iterable[str]) -> list[str]:
    """The old lines with the new ones of the same name in their places, and the others behind."""
    found = {text.split(" | ")[0]: text for text in old}
    return list((found | {text.split(" | ")[0]: text for text in new}).values())

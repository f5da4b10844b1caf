"""Trials whose streams are spread over processes, and what becomes of those that fail."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from common.errors import WorkerError
from worker.bench.capacity_search import Part
from worker.bench.trial_processes import Mate, Team, follow

PART = Part(30, 0, 0.5, 0.1, 0.3, {0: (2.0, 4.0), 1: (3.0,)})
# Answers as a process would, noting its orders; the first argument is the file for them.
TOY = """
import json, sys
print("a library's words")
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    open(sys.argv[1], "a").write(line)
    order = json.loads(line)
    if "open" in order:
        answer = {"open": True} if sys.argv[2] == "works" else {"error": "no encoder"}
    elif "feed" in order:
        part = {"units": 15, "missing": 1, "cores": 0.25, "decode": 0.1, "encode": 0.1}
        answer = {"part": part | {"delays_ms": {"0": [9.0]}}}
    else:
        answer = {"closed": True}
    print(json.dumps(answer), flush=True)
"""


class FakeBench:
    """Remembers what it was asked for."""

    frame_s = 0.04

    def __init__(self) -> None:
        self.opened: list[tuple[list[int], int]] = []
        self.closed = 0

    def usage(self) -> None:
        return None

    def open(self, indices: Any, total: int) -> None:
        self.opened.append((list(indices), total))

    def feed(self, begin: float, seconds: float, usage: Any = None) -> Part:
        return PART

    def close(self) -> None:
        self.closed += 1


def toy(orders: Path, how: str = "works") -> Mate:
    return Mate([sys.executable, "-c", TOY, str(orders), how])


def test_streams_are_dealt_out_in_turn_and_the_parts_put_together(tmp_path: Path) -> None:
    bench, orders = FakeBench(), tmp_path / "orders"
    mate = toy(orders)
    try:
        team = Team(bench, [mate])  # type: ignore[arg-type]  # of Bench, what a team asks for
        trial = team.run(1, 2.0)
        assert (trial.streams, trial.missing, bench.opened) == (1, 0, [([0], 1)])
        assert not orders.exists(), "one stream alone leaves the others idle"
        trial = team.run(5, 2.0)
        assert bench.opened[-1] == ([0, 2, 4], 5)
        opened, fed, closed = map(json.loads, orders.read_text().splitlines())
        assert opened == {"open": [1, 3], "of": 5}
        assert fed["feed"] == 2.0
        assert closed == {"close": True}
        assert (trial.expected, trial.missing, trial.cores) == (45, 1, 0.75)
        assert trial.p99_ms == 5.0, "9 ms in the other process; a lone stream took 4 ms there"
        assert bench.closed == 2
    finally:
        mate.end()


def test_what_fails_in_another_process_ends_the_trial_with_its_reason(tmp_path: Path) -> None:
    bench = FakeBench()
    mate = toy(tmp_path / "orders", "fails")
    try:
        team = Team(bench, [mate])  # type: ignore[arg-type]  # as above
        with pytest.raises(WorkerError, match="no encoder"):
            team.run(2, 1.0)
        assert bench.closed == 1
        assert team.run(1, 1.0).streams == 1, "the others still work"
    finally:
        mate.end()


def test_a_process_that_has_ended_is_said_to_have() -> None:
    mate = Mate([sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(WorkerError, match="status 3"):
        mate.answer("ready")
    with pytest.raises(WorkerError, match="has ended"):
        mate.order({"open": [0], "of": 1})
    mate.end()


def test_the_other_side_does_as_ordered(capsys: pytest.CaptureFixture[str]) -> None:
    orders = [{"open": [1], "of": 2}, {"feed": 1.0, "begin": 0.0}, {"close": True}]
    bench = FakeBench()
    follow(bench, io.StringIO("".join(f"{json.dumps(order)}\n" for order in orders)))  # type: ignore[arg-type]
    ready, opened, part, closed = map(json.loads, capsys.readouterr().out.splitlines())
    assert (ready, opened, closed) == ({"ready": True}, {"open": True}, {"closed": True})
    assert Part.from_json(part["part"]) == PART
    assert (bench.opened, bench.closed) == ([([1], 2)], 1)

"""The processes of a trial, as a farm has them (IO: pipes).

The first process leads, and orders the others by JSON lines on their stdin; they answer on their
stdout. Each has a part of the streams, as workers do; or the leader has all, and the others are the
encoder processes that encode them (`trial_encoders.py`). All begin to feed at one moment of
CLOCK_MONOTONIC. What libraries print between the answers is passed over.
"""

import json
import os
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from common.errors import WorkerError
from common.ipc.control_messages import Endpoint
from common.ipc.identity import BootId, ChildId
from worker.bench.capacity_search import Part, Trial, Use, alone, trial_of
from worker.bench.trial_runs import Bench

LEAD_S = 0.2  # from the order to feed to its beginning
MAX_LINE = 64 * 1024 * 1024  # delays of each picture of a trial
END_S = 2.0
ENCODER_MODULE = "worker.bench.trial_encoder"


class Mate:
    """One further process, as the leader has it."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def order(self, order: dict[str, Any]) -> None:
        """Raises WorkerError when it has ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise WorkerError(f"a further process has ended: {error}") from error

    def answer(self, key: str) -> Any:
        """Return what it says under this key. Raises WorkerError when it fails, or ends instead."""
        assert self._process.stdout is not None
        while line := self._process.stdout.readline(MAX_LINE):
            with suppress(ValueError):
                answer = json.loads(line)
                if isinstance(answer, dict) and "error" in answer:
                    raise WorkerError(str(answer["error"]))
                if isinstance(answer, dict) and key in answer:
                    return answer[key]
        raise WorkerError(f"a further process ended (status {self._process.wait()})")

    def end(self) -> None:
        """It ends when nobody orders any more, or is killed."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class EncoderMate(Mate):
    """One encoder process; it has no streams of its own."""

    def __init__(
        self, python: Sequence[str], options: Sequence[str], run_dir: Path, index: int
    ) -> None:
        """`python` runs a module; `options` are of `trial_encoder.py`."""
        own = ["--run-dir", str(run_dir), "--index", str(index), "--leader", str(os.getpid())]
        super().__init__([*python, ENCODER_MODULE, *own, *options])
        self._child = ChildId("encoder", index=index)

    def endpoint(self) -> Endpoint:
        """Return where it takes pictures, once it does. Raises WorkerError."""
        match self.answer("ready"):
            case {"boot_id": str(boot_id), "pictures": str(pictures), "pools": str(pools)}:
                return Endpoint(self._child, BootId(boot_id), pictures=pictures, pools=pools)
        raise WorkerError("an encoder process does not say where it is")


class Team:
    """Runs trials; the leader's side."""

    def __init__(self, bench: Bench, mates: Sequence[Mate] = (), *, encoders: bool = False) -> None:
        """`mates` have a part of the streams each, or are `encoders`, which the bench has met.

        Raises WorkerError when one of the mates cannot begin.
        """
        self._bench = bench
        self._mates = tuple(mates)
        self._are_encoders = encoders
        self._alone_ms: dict[int, float] | None = None
        if not encoders:
            for mate in self._mates:
                mate.answer("ready")

    def run(self, streams: int, seconds: float) -> Trial:
        """So many streams for so long. Raises WorkerError when one does not open."""
        usage = self._bench.usage()
        own, mates = self._deal(streams)
        try:
            for mate, part in mates:
                mate.order({"open": list(part), "of": streams})
            self._bench.open(own, streams)
            for mate, _ in mates:
                mate.answer("open")
            begin = time.monotonic() + LEAD_S
            for mate, _ in mates:
                mate.order({"feed": seconds, "begin": begin})
            found = [self._bench.feed(begin, seconds, usage)]
            found += [Part.from_json(mate.answer("part")) for mate, _ in mates]
        finally:
            for mate, _ in mates:
                mate.order({"close": True})
            self._bench.close()
            for mate, _ in mates:
                mate.answer("closed")
        if self._alone_ms is None:
            self._alone_ms = alone(found)
        use = Use(*usage.means()) if usage is not None else None
        return trial_of(streams, found, self._alone_ms, self._bench.frame_s * 1000, use)

    def _deal(self, streams: int) -> tuple[range, list[tuple[Mate, range]]]:
        """The leader's streams, and those of each mate that has something to do."""
        if self._are_encoders:
            return range(streams), [(mate, range(0)) for mate in self._mates]
        parts = [range(first, streams, 1 + len(self._mates)) for first in range(streams)]
        pairs = zip(self._mates, parts[1:], strict=False)
        return parts[0], [pair for pair in pairs if pair[1]]


def follow(bench: Bench, commands: TextIO) -> None:
    """The other side: do as ordered until nobody orders any more."""
    say({"ready": True})
    for line in commands:
        try:
            say(_obey(bench, json.loads(line)))
        except WorkerError as error:
            say({"error": str(error)})


def _obey(bench: Bench, order: dict[str, Any]) -> dict[str, Any]:
    match order:
        case {"open": indices, "of": total}:
            bench.open(indices, total)
            return {"open": True}
        case {"feed": seconds, "begin": begin}:
            return {"part": asdict(bench.feed(begin, seconds))}
        case _:
            bench.close()
            return {"closed": True}


def say(answer: dict[str, Any]) -> None:
    """One JSON object a line, to whoever started this process."""
    print(json.dumps(answer), flush=True)

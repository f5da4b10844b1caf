"""Which inputs of a corpus to keep: few and small ones that reach what all of them reach.

What an input reaches is the pairs of lines run one after the other in tfarm's own modules, and the
exceptions raised there.
"""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]
_OURS = (str(_ROOT / "common"), str(_ROOT / "ingest"))

Reached = set[tuple[str, int, int]]  # file, line, next line; -1: a call, -2: an exception


def reached(harness: Callable[[bytes], None], data: bytes) -> Reached:
    """What of our code the harness runs on an input, up to a failure if it fails."""
    seen: Reached = set()

    def trace_call(frame: FrameType, event: str, _: Any) -> Callable[..., Any] | None:
        file = frame.f_code.co_filename
        if not file.startswith(_OURS):
            return None
        last = -1

        def trace_line(frame: FrameType, event: str, _: Any) -> Callable[..., Any]:
            nonlocal last
            if event == "line":
                seen.add((file, last, frame.f_lineno))
                last = frame.f_lineno
            elif event == "exception":
                seen.add((file, frame.f_lineno, -2))
            return trace_line

        return trace_line

    before = sys.gettrace()
    sys.settrace(trace_call)
    try:
        harness(data)
    except Exception as error:
        seen.add((type(error).__name__, 0, -2))
    finally:
        sys.settrace(before)
    return seen


def smallest_cover(harness: Callable[[bytes], None], inputs: Iterable[bytes]) -> list[bytes]:
    """The inputs to keep: each time the one that adds most, the smallest of several."""
    left = {
        data: reached(harness, data) for data in sorted(inputs, key=lambda data: (len(data), data))
    }
    kept: list[bytes] = []
    while left:
        best = max(left, key=lambda data: len(left[data]))  # of equals the first one
        found = left.pop(best)
        kept.append(best)
        left = {data: rest for data, more in left.items() if (rest := more - found)}
    return kept

"""Tests with whole farms wait for states, not for times, and no state is held against the clock.

A `time.sleep` there says why in a comment beside it: `# sleep: REASON`. A duration that may be no
longer than so many seconds goes through `patient` (`tests/kit/waiting.py`), or is a measurement and
belongs in `tests/bench`.
"""

import re

SLEEPS = re.compile(r"\b(?:time|asyncio)\.sleep\(")
REASON = re.compile(r"# sleep: \S+ \S+")
# `time.monotonic() - began < 4.0`: such a figure is a machine's, not the product's
DURATION = re.compile(r"\b(?:monotonic|perf_counter|time)\(\) - \w+ <=? *[0-9.]+\b")


def unreasoned_sleeps(text: str) -> list[int]:
    """The lines that sleep and do not say why."""
    return [
        number
        for number, line in enumerate(text.splitlines(), 1)
        if SLEEPS.search(line) and not REASON.search(line)
    ]


def durations(text: str) -> list[int]:
    """The lines that say how long something may take on any machine."""
    return [number for number, line in enumerate(text.splitlines(), 1) if DURATION.search(line)]

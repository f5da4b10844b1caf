"""The table of docs/sizing.md: how many streams the cost model lets in. Pure."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from common.config.ladder import Pipeline, Rendition, SourceFormat, Template
from common.config.settings import DEFAULT_RENDITIONS
from supervisor.placement.cost import (
    CAPACITY_PER_CORE,
    GPU_CAPACITY,
    Resource,
    amounts,
    stream_cost,
)

BEGIN, END = "<!-- sizing -->\n", "<!-- end -->"
CORES = (2, 4, 8, 16, 32)
HYBRID_CORES = 16
SOURCES = (
    ("720p30", SourceFormat(1280, 720, fps=Fraction(30))),
    ("1080p30", SourceFormat(1920, 1080, fps=Fraction(30))),
    ("1080p60", SourceFormat(1920, 1080, fps=Fraction(60))),
)
BUILT_IN = Template("live", DEFAULT_RENDITIONS)


def _with_top(fps: int) -> Template:
    top = Rendition("top", 1920, 1080, 6_000_000, fps=Fraction(fps))
    return replace(BUILT_IN, renditions=(top, *DEFAULT_RENDITIONS))


ROWS = (
    *((name, source, "built-in", BUILT_IN) for name, source in SOURCES),
    (*SOURCES[1], "+ 1080p30", _with_top(30)),
    (*SOURCES[2], "+ 1080p30", _with_top(30)),
    (*SOURCES[2], "+ 1080p60", _with_top(60)),
)


def with_sizing(document: str) -> str:
    """The document with its table written anew. Raises ValueError when it has no such table."""
    before, rest = document.split(BEGIN)
    head, rule, _ = rest.split("\n", 2)
    return "".join([before, BEGIN, head, "\n", rule, "\n", *_rows(), END, rest.split(END, 1)[1]])


def _rows() -> Iterator[str]:
    for name, source, renditions, template in ROWS:
        cost = stream_cost(template, source)
        hybrid = amounts(cost, Pipeline.HYBRID)
        of_gpu = min(
            HYBRID_CORES * CAPACITY_PER_CORE // hybrid[Resource.CORES],
            GPU_CAPACITY // hybrid[Resource.LOAD],
        )
        cells = [
            name,
            renditions,
            round(cost.total),
            *(int(cores * CAPACITY_PER_CORE // cost.total) for cores in CORES),
            int(GPU_CAPACITY // cost.total),
            int(of_gpu),
        ]
        yield f"| {' | '.join(map(str, cells))} |\n"

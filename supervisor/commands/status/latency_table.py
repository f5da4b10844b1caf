"""The tables of `tfarm status --latency`, from the JSON document. Pure.

One row a stage, in the order of a frame's way, and a column for the stream and for each rendition:
so it fits 80 columns, and where there are many renditions they stand below one another.
"""

from collections.abc import Sequence

from supervisor.commands.status.stream_selection import Json, Selection, name_of, select
from supervisor.commands.terminal.layout import GAP, Column, Line, Row, Span, fit, table

STREAM_STAGES = ("ingest", "transit", "queue", "decode")
RENDITION_STAGES = ("handover", "scale", "encode", "mux", "transit", "egress", "total")


def latency_lines(status: Json, width: int, selection: Selection | None = None) -> list[Line]:
    """Where the milliseconds of a frame go: p50 and p99 of each stage."""
    lines: list[Line] = []
    for stream in select(status["streams"], selection or Selection()):
        if lines:
            lines.append(())
        lines.append((Span(f"{name_of(stream)}: p50 / p99 in ms", "bold"),))
        lines += _stream(stream, width)
    return fit(lines, width) or [(Span("no stream", "dim"),)]


def _stream(stream: Json, width: int) -> list[Line]:
    stages = stream["stages_ms"]
    names = [rendition["name"] for rendition in stream["renditions"]]
    columns: list[tuple[str, str]] = [("the stream", "")]  # titles, and the end of stages' names
    columns += [(name, f":{name}") for name in names]
    texts = [title for title, _ in columns] + [_times(times) for times in stages.values()]
    beside = max(1, (width - len("handover")) // (GAP + max(map(len, texts))))
    lines: list[Line] = []
    for first in range(0, len(columns), beside):
        lines += _block(stages, columns[first : first + beside], width)
    return lines


def _block(stages: Json, columns: Sequence[tuple[str, str]], width: int) -> list[Line]:
    rows = []
    is_first = not columns[0][1]
    if is_first:
        rows += [_row(stage, stages, columns, is_streams=True) for stage in STREAM_STAGES]
    if len(columns) > is_first:
        rows += [_row(stage, stages, columns, is_streams=False) for stage in RENDITION_STAGES]
    titles = [Column("stage"), *(Column(title, is_number=True) for title, _ in columns)]
    return table(titles, rows, width)


def _row(stage: str, stages: Json, columns: Sequence[tuple[str, str]], *, is_streams: bool) -> Row:
    cells = [
        _times(stages.get(f"{stage}{end}")) if bool(end) != is_streams else "" for _, end in columns
    ]
    return Row((stage, *cells))


def _times(times: Sequence[float] | None) -> str:
    return f"{times[0]:.1f} / {times[1]:.1f}" if times else "-"

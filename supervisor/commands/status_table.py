"""The tables of `tfarm status`, from the JSON document of `status_document.py`. Pure, but for rich.

Only the CLI imports this: rich is nothing that the supervisor's memory should hold.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from common.process.log import stream_label

Json = Mapping[str, Any]

SHOWN_DECISIONS = 5
# How those decisions begin that somebody looks for; the others are a stream's usual way.
_TROUBLES = (
    "refused:",
    "quarantined:",
    "not alone:",
    "lost ",
    "its ingest is lost:",
    "gave its room",
)

_STATE_STYLES = {
    "ready": "green",
    "live": "green",
    "starting": "yellow",
    "reserved": "yellow",
    "switching": "yellow",
    "stopping": "yellow",
    "source only": "yellow",
    "draining": "yellow",
    "drained": "yellow",
    "overloaded": "red",
    "waiting": "red",
    "backoff": "red",
    "down": "red",
    "lost": "red",
    "fatal": "red",
}


def tables(status: Json, now_unix: float) -> RenderableType:
    """All of it, for a terminal."""
    listen = ", ".join(f"rtmp://{address}" for address in status["listen"]["rtmp"])
    parts: list[RenderableType] = [
        Text.assemble(
            ("tfarm ", "bold"),
            f"{status['version']}  {listen or 'not listening yet'}  "
            f"apps: {', '.join(status['apps'])}  up {duration(now_unix - status['since_unix'])}",
        ),
        _devices(status),
        *_host(status),
        _streams(status["streams"], now_unix),
        _children([status["supervisor"], *status["children"]]),
    ]
    notes = [note for device in status["devices"] for note in device["notes"]]
    notes += [f"{d['name']} is lost: {d['reason']}" for d in status["devices"] if d["reason"]]
    cap = status["encoder_session_limit"]
    if cap is not None:
        notes.append(
            f"encoder sessions held to {cap['sessions']} for {duration(cap['for_s'])} more: "
            f"{cap['reason']}"
        )
    parts += [Text(f"note: {note}", "dim") for note in dict.fromkeys(notes)]
    if status["closed"]:
        parts.append(Text(status["closed"], "yellow"))
    if status["queued"] or status["waiting"]:
        parts.append(
            Text(
                f"{status['waiting']} streams wait for a device, "
                f"{status['queued']} publishers for room",
                "yellow",
            )
        )
    parts += _decisions(status["decisions"])
    return Group(*parts)


# In the order of a frame's way; those of the second row are a rendition's own.
_STREAM_STAGES = ("ingest", "transit", "queue", "decode")
_RENDITION_STAGES = ("handover", "scale", "encode", "mux", "transit", "egress", "total")


def latency_tables(status: Json) -> RenderableType:
    """Where the milliseconds of a frame go: p50 and p99 of each stage, by stream and rendition."""
    parts = [_latency(stream) for stream in status["streams"]]
    return Group(*parts) if parts else Text("no stream", "dim")


def _latency(stream: Json) -> Table:
    stages = stream["stages_ms"]
    table = _table(
        f"\n{stream['app']}/{stream['key']}: p50 / p99 in ms",
        ("of", *(f">{stage}" for stage in (*_STREAM_STAGES, *_RENDITION_STAGES))),
    )
    blank = [""] * len(_RENDITION_STAGES)
    table.add_row("the stream", *(_times(stages, stage) for stage in _STREAM_STAGES), *blank)
    blank = [""] * len(_STREAM_STAGES)
    for rendition in stream["renditions"]:
        name = rendition["name"]
        cells = (_times(stages, f"{stage}:{name}") for stage in _RENDITION_STAGES)
        table.add_row(f"  {name}", *blank, *cells)
    return table


def _times(stages: Json, stage: str) -> str:
    times = stages.get(stage)
    return f"{times[0]:.1f} / {times[1]:.1f}" if times else "-"


def _table(title: str, columns: Iterable[str]) -> Table:
    """Columns that begin with ">" are numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        is_number = column.startswith(">")
        table.add_column(
            column.removeprefix(">"),
            justify="right" if is_number else "left",
            no_wrap=is_number,
            overflow="fold",
        )
    return table


def _devices(status: Json) -> Table:
    table = _table(
        "\nDevices",
        (
            "device",
            "is",
            "state",
            ">used",
            ">capacity",
            ">streams",
            ">fps in",
            ">fps out",
            ">queue ms",
        ),
    )
    for device in status["devices"]:
        shared = f" of {device['workers']} workers" if device["workers"] > 1 else ""
        shared = " of host" if device["is_capacity_shared"] else shared
        table.add_row(
            device["name"],
            f"{device['label'] or device['kind']} ({device['path']})",
            _state(device["state"]),
            f"{device['used']:.0f}",
            f"{device['capacity']:.0f}{shared}",
            str(device["streams"]),
            f"{device['fps_in']:.0f}",
            f"{device['fps_out']:.0f}",
            f"{device['queue_ms']:.0f}",
        )
    return table


def _host(status: Json) -> Iterable[RenderableType]:
    """Show what all devices share, where something of it is taken, and what came of it."""
    facts = []
    for name, shared in sorted(status["host"].items()):
        if not shared["used"]:
            continue
        limit = "" if shared["capacity"] is None else f" of {shared['capacity']:.0f}"
        unit = " units" if name.endswith("cores") else ""
        facts.append(f"{name.replace('_', ' ')} {shared['used']:.0f}{limit}{unit}")
    if status["refused_full"]:
        facts.append(f"{status['refused_full']} publishers refused so far: full")
    if facts:
        yield Text(f"Host: {', '.join(facts)}")


def _decisions(decisions: Sequence[Json]) -> Iterable[RenderableType]:
    """The last refusals, quarantines and losses; streams are called as in the log."""
    found = [entry for entry in decisions if entry["text"].startswith(_TROUBLES)]
    if not found:
        return
    table = _table("\nLast refusals and losses", ("at", "stream", "what"))
    for entry in found[-SHOWN_DECISIONS:]:
        table.add_row(
            f"{datetime.fromtimestamp(entry['at_unix']):%H:%M:%S}",
            stream_label(f"{entry['app']}/{entry['key']}"),
            entry["text"],
        )
    yield table


def _streams(streams: Iterable[Json], now_unix: float) -> Table:
    table = _table(
        "\nStreams",
        ("stream", "state", "size", ">fps", ">kbit/s", ">players", ">drops", "details"),
    )
    is_empty = True
    for stream in streams:
        is_empty = False
        _add_stream(table, stream, now_unix)
    if is_empty:
        table.add_row(Text("none", "dim"))
    return table


def _add_stream(table: Table, stream: Json, now_unix: float) -> None:
    since = duration(now_unix - stream["since_unix"]) if stream["since_unix"] else "-"
    gop = f"GOP {stream['gop_ms'] / 1000:.1f} s" if stream["gop_ms"] else ""
    who = f"from {stream['publisher']}" if stream["is_live"] else "publisher away"
    details = [who, f"for {since}", stream["codec"], gop, stream["audio"]]
    table.add_row(
        Text(f"{stream['app']}/{stream['key']}", "bold"),
        _state(stream["state"]),
        _size(stream),
        f"{stream['fps']:.1f}",
        f"{stream['bitrate_bps'] / 1000:.0f}",
        "",
        str(sum(stream["dropped"].values()) + stream["dropped_by_worker"]),
        ", ".join(detail for detail in details if detail),
    )
    for rendition in stream["renditions"]:
        table.add_row(
            f"  {rendition['name']}",
            "",
            _size(rendition),
            f"{rendition['fps']:.1f}",
            f"{rendition['bitrate_bps'] / 1000:.0f}",
            str(rendition["players"]),
            str(rendition["dropped"] + rendition["dropped_to_players"]),
            "as published" if rendition["name"] == "source" else "",
        )
    for entry in stream["omitted"]:
        table.add_row(f"  {entry['name']}", "omitted", "", "", "", "", "", entry["reason"])
    troubles = [
        _first_notice(stream["notices"]),
        f"degraded: {stream['degraded']}" if stream["degraded"] else "",
        f"{stream['skipped_by_worker']} pictures dropped" if stream["skipped_by_worker"] else "",
        f"aboard {stream['crashes']} crashed workers" if stream["crashes"] else "",
        f"cannot move: {stream['cannot_move']}" if stream["cannot_move"] else "",
    ]
    if any(troubles):
        words = ", ".join(filter(None, troubles))
        table.add_row("", "", "", "", "", "", "", Text(words, "yellow"))
    where = stream["worker"] or "no device"
    table.add_row("", "", "", "", "", "", "", Text(f"on {where}: {stream['reason']}", "dim"))


def _first_notice(notices: Sequence[Json]) -> str:
    """The first fault of a source, and how many more notices there are."""
    found = sorted(notices, key=lambda notice: not notice["is_fault"])  # stable
    if not found or not found[0]["is_fault"]:
        return ""
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"source: {found[0]['words']}{more}"


def _children(children: Iterable[Json]) -> Table:
    columns = ("child", "state", ">pid", ">restarts", ">MiB", ">CPU %", "last end")
    table = _table("\nProcesses", columns)
    for child in children:
        table.add_row(
            child["name"],
            _state(child["state"]),
            str(child["pid"] or "-"),
            str(child["restarts"]),
            f"{child['memory_bytes'] / 1024**2:.0f}",
            f"{child['cpu_percent']:.0f}",
            child["reason"],
        )
    return table


def _state(state: str) -> Text:
    return Text(state, _STATE_STYLES.get(state, ""))


def _size(row: Json) -> str:
    return f"{row['width']}x{row['height']}" if row["width"] else "-"


def duration(seconds: float) -> str:
    """ "3 s", "12 min", "5 h 20 min", "3 d 4 h"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"

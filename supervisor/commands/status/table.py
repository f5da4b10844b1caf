"""The page of `tfarm status`, from the JSON document of `document.py`. Pure.

Three parts, since `--watch` scrolls the middle one: totals and devices, streams, processes and the
last refusals. A stream is one line; its renditions and details stand below it where they are asked
for, or where there is room. Only the command line imports this.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from common.process.log import stream_label
from common.words import counted, duration, time_left
from supervisor.commands.status.cluster_rows import cluster_line
from supervisor.commands.status.free_rows import free_line
from supervisor.commands.status.remote_rows import remote_lines
from supervisor.commands.status.stream_page import NoSuchStream, named, stream_lines
from supervisor.commands.status.stream_selection import (
    Json,
    Selection,
    dropped,
    name_of,
    players,
    problems,
    select,
)
from supervisor.commands.status.uploads import upload_lines
from supervisor.commands.terminal.layout import (
    Cell,
    Column,
    Line,
    Row,
    Span,
    fit,
    shorten,
    table,
    wrap,
)

SHOWN_DECISIONS = 5
SHOWN_REFUSALS = 5  # of publishers, and as many of players; all of them with their renditions
SHOWN_BRIEFLY = 2
SHOWN_BANS = 5
FEW_STREAMS = 3  # have their renditions shown where nothing says how high the terminal is
# How those decisions begin that somebody looks for; the others are a stream's usual way.
_TROUBLES = (
    "quarantined:",
    "not alone:",
    "lost ",
    "its ingest is lost:",
    "gave its room",
)

SCHEMES = {"web": "http"}  # of addresses whose protocol is not their scheme

_STATE_STYLES = {
    "ready": "green",
    "live": "green",
    "starting": "yellow",
    "reserved": "yellow",
    "held": "yellow",
    "switching": "yellow",
    "stopping": "yellow",
    "source only": "yellow",
    "draining": "yellow",
    "retiring": "yellow",
    "drained": "yellow",
    "overloaded": "red",
    "waiting": "red",
    "backoff": "red",
    "down": "red",
    "lost": "red",
    "fatal": "red",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown of a document."""

    selection: Selection = field(default_factory=Selection)
    renditions: bool | None = None  # None: where there is room
    height: int | None = None  # of the terminal; None: a pipe


@dataclass(frozen=True, slots=True)
class Page:
    """All of it, no line wider than it was asked for."""

    top: list[Line]
    titles: list[Line]  # of the streams
    streams: list[Line]
    bottom: list[Line] = field(default_factory=list)
    # The same in a few lines, where streams need the room.
    brief: list[Line] = field(default_factory=list)

    def fitted(self, width: int) -> "Page":
        """The page for a terminal that is narrower than any title."""
        parts = (self.top, self.titles, self.streams, self.bottom, self.brief)
        return Page(*(fit(part, width) for part in parts))

    @property
    def lines(self) -> list[Line]:
        return [*self.top, *self.titles, *self.streams, *self.bottom]


def page(status: Json, now_unix: float, width: int, shown: Shown = Shown()) -> Page:
    """All of the document that is to be shown; of one stream that is named, its own page."""
    try:
        stream = named(status, shown.selection.pattern)
    except NoSuchStream as error:
        return Page([], [], wrap(str(error), width, "red"))
    if stream is not None:
        return Page([], [], stream_lines(status, stream, now_unix, width))
    return _page(status, now_unix, width, shown).fitted(width)


def _page(status: Json, now_unix: float, width: int, shown: Shown) -> Page:
    top = [*_head(status, now_unix, width), *_devices(status, width), *_notes(status, width)]
    bottom = [
        *_processes(status, width),
        *remote_lines(status.get("pulls", []), now_unix, width),
        *upload_lines(status.get("uploads", []), width),
        *_refusals(status["refusals"], width, is_all=shown.renditions or False),
        *_decisions(status["decisions"], width),
    ]
    streams = select(status["streams"], shown.selection)
    brief = _brief(status, width)
    has_renditions = shown.renditions or False
    found = Page(top, *_streams(streams, status, shown, width, has_renditions), bottom, brief)
    if shown.renditions is not None:
        return found
    whole = Page(top, *_streams(streams, status, shown, width, True), bottom, brief)
    if shown.height is None:
        return whole if len(streams) <= FEW_STREAMS else found
    return whole if len(whole.lines) < shown.height else found


# ---- above the streams ------------------------------------------------------------------------


def _head(status: Json, now_unix: float, width: int) -> list[Line]:
    listen = ", ".join(
        f"{SCHEMES.get(protocol, protocol)}://{address}"
        for protocol, addresses in status["listen"].items()
        for address in addresses
    )
    up = duration(now_unix - status["since_unix"])
    title = f"tfarm {status['version']}  {listen or 'not listening yet'}  up {up}"
    lines = wrap(title, width, "bold")
    for warning in status["warnings"]:
        lines += wrap(f"WARNING: {warning}", width, "red")
    lines += wrap("; ".join(_totals(status)), width)
    if status.get("cluster"):  # none is there of an older supervisor
        words, is_wrong = cluster_line(status["cluster"], now_unix)
        lines += wrap(words, width, "yellow" if is_wrong else "")
    if status["closed"]:
        lines += wrap(status["closed"], width, "yellow")
    if free := free_line(status.get("free_streams", {})):  # none of an older supervisor
        lines += wrap(f"room for {free}", width)
    if status["kicked"]:
        every = [
            f"{name_of(kick)} for {time_left(kick['for_s'])} more" for kick in status["kicked"]
        ]
        lines += wrap(f"kept out by the operator: {', '.join(every)}", width, "yellow")
    if status["bans"]:
        words = f"{counted(len(status['bans']), 'ban')} (tfarm ban --list): "
        shown = [ban["target"] for ban in status["bans"][:SHOWN_BANS]]
        rest = len(status["bans"]) - len(shown)
        lines += wrap(words + ", ".join(shown) + (f", {rest} more" if rest else ""), width)
    if status["queued"] or status["waiting"]:
        waiting = counted(status["waiting"], "stream", "waits for a device")
        queued = f"{counted(status['queued'], 'publisher')} for room"
        lines += wrap(f"{waiting}, {queued}", width, "yellow")
    return lines


def ban_words(ban: Json, now_unix: float) -> str:
    """One entry of `tfarm ban --list`."""
    left = "for good"
    if ban["until_unix"] is not None:
        left = f"for {time_left(ban['until_unix'] - now_unix)} more"
    since = f"since {duration(now_unix - ban['since_unix'])}, by {ban['by']}"
    return f"{ban['target']} {left}, {since}" + (f": {ban['reason']}" if ban["reason"] else "")


def _totals(status: Json) -> list[str]:
    """What the farm has and does, all together."""
    totals = status["totals"]
    streams = counted(len(status["streams"]), "stream")
    states = Counter(stream["state"] for stream in status["streams"])
    if states and set(states) != {"live"}:
        streams += f" ({', '.join(f'{n} {state}' for state, n in states.most_common())})"
    found = [streams, counted(totals["players"], "player")]
    found.append(
        f"{totals['in_bps'] / 1e6:.1f} Mbit/s in, {totals['out_bps'] / 1e6:.1f} Mbit/s out"
    )
    states = Counter(device["state"] for device in status["devices"])
    if states:
        every = ", ".join(f"{n} {state}" for state, n in states.most_common())
        found.append(f"devices: {every}")
    for name, shared in sorted(status["host"].items()):
        capacity = shared["capacity"]
        if shared["used"] or (name == "cores" and capacity):
            limit = "" if capacity is None else f" of {capacity:.0f}"
            unit = " units" if name.endswith("cores") else ""
            found.append(f"{name.replace('_', ' ')} {shared['used']:.0f}{limit}{unit}")
    if status["refused"]:
        every = ", ".join(f"{n} {reason}" for reason, n in sorted(status["refused"].items()))
        found.append(f"refused so far: {every}")
    return found


def _devices(status: Json, width: int) -> list[Line]:
    columns = (
        Column("device"),
        Column("state"),
        Column("used", is_number=True),
        Column("capacity", priority=1, is_number=True),
        Column("streams", priority=1, is_number=True),
        Column("fps in", priority=3, is_number=True),
        Column("fps out", priority=3, is_number=True),
        Column("queue ms", priority=2, is_number=True),
        Column("is", priority=4, is_text=True),
    )
    rows = []
    sharing = sum(device["is_capacity_shared"] for device in status["devices"])
    for device in status["devices"]:
        is_shared = device["is_capacity_shared"] and sharing > 1
        shared = f" of {device['workers']} workers" if device["workers"] > 1 else ""
        shared = " shared" if is_shared else shared
        label = device["label"] or device["kind"]
        rows.append(
            Row(
                (
                    device["name"],
                    _state(device["state"]),
                    f"{device['used']:.0f}",
                    f"{device['capacity']:.0f}{shared}",
                    str(device["streams"]),
                    f"{device['fps_in']:.0f}",
                    f"{device['fps_out']:.0f}",
                    f"{device['queue_ms']:.0f}",
                    f"{'shares ' if is_shared else ''}{label} ({device['path']})",
                )
            )
        )
    return [_blank(), _title("Devices"), *table(columns, rows, width)]


def _notes(status: Json, width: int) -> list[Line]:
    notes = [note for device in status["devices"] for note in device["notes"]]
    notes += [f"{d['name']} is lost: {d['reason']}" for d in status["devices"] if d["reason"]]
    cap = status["encoder_session_limit"]
    if cap is not None:
        notes.append(
            f"encoder sessions held to {cap['sessions']} for {time_left(cap['for_s'])} more: "
            f"{cap['reason']}"
        )
    return [line for n in dict.fromkeys(notes) for line in wrap(f"note: {n}", width, "dim")]


# ---- streams ----------------------------------------------------------------------------------

_COLUMNS = (
    Column("stream"),
    Column("state"),
    Column("size", priority=1),
    Column("fps", is_number=True),
    Column("kbit/s", is_number=True),
    Column("players", is_number=True),
    Column("dropped", priority=1, is_number=True),
    Column("", priority=1),  # "!2": so many problems
    Column("for", priority=3),
    Column("device", priority=4),
    Column("from", priority=5),
    Column("what is wrong", priority=6, is_text=True),
)


def _streams(
    streams: Sequence[Json], status: Json, shown: Shown, width: int, has_renditions: bool
) -> tuple[list[Line], list[Line]]:
    """The titles, and the lines below them."""
    title = "Streams"
    if not shown.selection.is_all:
        title += f": {len(streams)} of {len(status['streams'])}"
    if shown.selection.sort != "name":
        title += f", by {shown.selection.sort}"
    heading = [_blank(), _title(title)]
    if not streams:
        return heading, [(Span("none", "dim"),)]
    any_wrong = any(map(problems, streams))
    columns = [c for c in _COLUMNS if any_wrong or c.title not in ("", "what is wrong")]
    rows: list[Row] = []
    for stream in streams:
        rows += _rows(stream, status["now_unix"], has_renditions, any_wrong)
    lines = table(columns, rows, width)
    return [*heading, lines[0]], lines[1:]


def _rows(stream: Json, now_unix: float, has_renditions: bool, any_wrong: bool) -> list[Row]:
    """One row, and those below it."""
    wrong = problems(stream)
    marks: list[Cell] = [Span(f"!{len(wrong)}" if wrong else "", "yellow")]
    since = duration(now_unix - stream["since_unix"]) if stream["since_unix"] else ""
    words = Span(wrong[0] if wrong else "", "yellow")
    rest = (since, stream["device"], stream["publisher"])
    cells: list[Cell] = [
        Span(name_of(stream), "bold"),
        _state(stream["state"]),
        _size(stream),
        f"{stream['fps']:.1f}",
        f"{stream['bitrate_bps'] / 1000:.0f}",
        str(players(stream)),
        str(dropped(stream)),
        *(marks if any_wrong else ()),
        *rest,
        *([words] if any_wrong else ()),
    ]
    if not has_renditions:
        return [Row(tuple(cells))]
    facts = [n["words"] for n in stream["notices"] if not n["is_fault"]]
    below = tuple(Span(text, "yellow") for text in wrong)
    below += tuple(Span(f"source: {text}", "dim") for text in facts) + _details(stream, since)
    rows = [Row(tuple(cells), below)]
    filler = [""] * (len(cells) - 7)
    for rendition in stream["renditions"]:
        lost = rendition["dropped"] + rendition["dropped_to_players"]
        numbers = (f"{rendition['fps']:.1f}", f"{rendition['bitrate_bps'] / 1000:.0f}")
        counts = (str(rendition["players"]), str(lost))
        name = f"  {rendition['name']}"
        state = Span(rendition["state"] if rendition["state"] != "made" else "", "dim")
        rows.append(Row((name, state, _size(rendition), *numbers, *counts, *filler)))
    for entry in stream["omitted"]:
        blanks = ["", "", "", "", ""]
        reason = (Span(entry["reason"], "dim"),)
        name = f"  {entry['name']}"
        rows.append(Row((name, Span("omitted", "dim"), *blanks, *filler), reason))
    return rows


def _details(stream: Json, since: str) -> tuple[Span, ...]:
    gop = f"GOP {stream['gop_ms'] / 1000:.1f} s" if stream["gop_ms"] else ""
    who = f"from {stream['publisher']}" if stream["publisher"] else ""
    found = [who, f"for {since}" if since else "", stream["codec"], gop, stream["audio"]]
    facts = ", ".join(filter(None, found))
    if stream["device"]:
        # the reason is that of the decision: how full devices were then, not now
        where = f"placed on {stream['device']} because, at that time: {stream['reason']}"
    else:
        why = stream["reason"].removeprefix("source only, ")
        where = f"source only: {'by policy' if why == 'passthrough' else why}"
    return (Span(facts), Span(where, "dim"))


# ---- below the streams ------------------------------------------------------------------------


def _processes(status: Json, width: int) -> list[Line]:
    columns = (
        Column("process"),
        Column("state"),
        Column("pid", is_number=True),
        Column("restarts", is_number=True),
        Column("MiB", is_number=True),
        Column("CPU %", is_number=True),
        Column("last end", is_text=True),
    )
    rows = [
        Row(
            (
                child["name"],
                _state(child["state"]),
                str(child["pid"] or "-"),
                str(child["restarts"]),
                f"{child['memory_bytes'] / 1024**2:.0f}",
                f"{child['cpu_percent']:.0f}",
                child["reason"],
            )
        )
        for child in (status["supervisor"], *status["children"])
    ]
    return [_blank(), _title("Processes"), *table(columns, rows, width)]


def _brief(status: Json, width: int) -> list[Line]:
    """Processes and refusals, each in a line or two."""
    processes = (status["supervisor"], *status["children"])
    states = Counter(child["state"] for child in processes)
    memory = sum(child["memory_bytes"] for child in processes) / 1024**2
    cpu = sum(child["cpu_percent"] for child in processes)
    every = ", ".join(f"{n} {state}" for state, n in states.most_common())
    lines = [_blank(), *wrap(f"Processes: {every}; {memory:.0f} MiB; CPU {cpu:.0f} %", width)]
    for child in processes:
        if child["state"] not in ("ready", "starting"):
            words = f"{child['name']} {child['state']}: {child['reason']}"
            lines.append((Span(shorten(words, width), "yellow"),))
    last = [_refused_in_a_line(entry) for entry in status["refusals"] if entry["what"] != "play"]
    last += [" ".join(trouble) for trouble in _troubles(status["decisions"])]
    for text in sorted(last)[-SHOWN_BRIEFLY:]:
        lines.append((Span(shorten(text, width), "dim"),))
    return lines


def _refused_in_a_line(entry: Json) -> str:
    times = f"{entry['count']} times, " if entry["count"] > 1 else ""
    who = entry["name"] or entry["stream"] or entry["address"]
    return f"{_clock(entry['at_unix'])} {who} refused: {times}{entry['words']}"


def _clock(at_unix: float) -> str:
    return f"{datetime.fromtimestamp(at_unix):%H:%M:%S}"


def _refusals(refusals: Sequence[Json], width: int, *, is_all: bool) -> list[Line]:
    """Who was refused last, and why; players that ask for nothing crowd no publisher out."""
    by_publishers = [entry for entry in refusals if entry["what"] != "play"]
    by_players = [entry for entry in refusals if entry["what"] == "play"]
    if not is_all:
        by_publishers = by_publishers[-SHOWN_REFUSALS:]
        by_players = by_players[-SHOWN_REFUSALS:]
    lines: list[Line] = []
    for title, found in (
        ("Last refusals of publishers", by_publishers),
        ("Last refusals of players", by_players),
    ):
        if found:
            rows = [
                Row(
                    (
                        _clock(entry["at_unix"]),
                        entry["name"] or entry["stream"] or "-",
                        str(entry["count"]),
                        entry["cause"] or entry["reason"],
                        entry["address"],
                        entry["words"],
                    )
                )
                for entry in found
            ]
            lines += [_blank(), _title(title), *table(_REFUSAL_COLUMNS, rows, width)]
    return lines


_REFUSAL_COLUMNS = (
    Column("last at"),
    Column("stream"),
    Column("times", is_number=True),
    Column("reason", priority=2),
    Column("last from", priority=1),
    Column("words", is_text=True),
)


def _troubles(decisions: Sequence[Json]) -> list[tuple[str, str, str]]:
    """When, which stream as the log calls it, and what."""
    return [
        (
            _clock(entry["at_unix"]),
            stream_label(f"{entry['app']}/{entry['key']}"),
            entry["text"],
        )
        for entry in decisions
        if entry["text"].startswith(_TROUBLES)
    ]


def _decisions(decisions: Sequence[Json], width: int) -> list[Line]:
    """The last quarantines and losses."""
    found = _troubles(decisions)
    if not found:
        return []
    columns = (Column("at"), Column("stream"), Column("what", is_text=True))
    rows = [Row(cells) for cells in found[-SHOWN_DECISIONS:]]
    return [_blank(), _title("Last losses"), *table(columns, rows, width)]


# ---- parts ------------------------------------------------------------------------------------


def _blank() -> Line:
    return ()


def _title(text: str) -> Line:
    return (Span(text, "bold"),)


def _state(state: str) -> Span:
    return Span(state, _STATE_STYLES.get(state, ""))


def _size(row: Json) -> str:
    return f"{row['width']}x{row['height']}" if row["width"] else "-"

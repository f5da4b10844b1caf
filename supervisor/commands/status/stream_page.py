"""The page of one stream, `tfarm status APP/KEY`, from the JSON document. Pure.

Top to bottom: its publisher, what is wrong with its source and what to set, its renditions, where
the milliseconds go, what was dropped where, what was decided about it. It fits 80 columns, or less.
"""

from collections.abc import Sequence
from datetime import datetime
from difflib import get_close_matches
from typing import Final

from common.config.ladder import SOURCE
from common.media.units import VideoCodec
from common.words import counted, duration
from supervisor.commands.status.latency_table import RENDITION_STAGES, STREAM_STAGES
from supervisor.commands.status.pushes import push_words
from supervisor.commands.status.recordings import recording_words
from supervisor.commands.status.stream_selection import (
    Json,
    Selection,
    is_glob,
    name_of,
    players,
    problems,
    select,
)
from supervisor.commands.terminal.layout import Column, Line, Row, Span, fit, table, wrap

SHOWN_DECISIONS: Final = 8
NEAR_NAMES: Final = 3
_LABEL: Final = 11  # columns of what stands before a fact


class NoSuchStream(Exception):
    """No stream is meant; the text says which ones have a name like it."""


_CODECS = {codec.value: codec.label for codec in VideoCodec}


def named(status: Json, name: str) -> Json | None:
    """The one stream with exactly this APP/KEY; None: several may be meant.

    Raises NoSuchStream for what is no glob and no part of any name.
    """
    if is_glob(name) or not name:
        return None
    streams: Sequence[Json] = status["streams"]
    found = next((stream for stream in streams if name_of(stream) == name), None)
    if found is None and not select(streams, Selection(pattern=name)):
        raise NoSuchStream(_unknown(name, [name_of(stream) for stream in streams]))
    return found


def part_of(status: Json, stream: Json) -> dict[str, object]:
    """What the document says of a stream: its own part, and the decisions about it."""
    return {**stream, "decisions": _decisions_about(status, stream)}


def stream_lines(status: Json, stream: Json, now_unix: float, width: int) -> list[Line]:
    """The page, no line wider than `width`."""
    lines = [
        *_publisher(stream, now_unix, width),
        *_notices(stream, now_unix, width),
        *_renditions(stream, width),
        *_delay(stream, width),
        *_dropped(stream, width),
        *_decisions(_decisions_about(status, stream), width),
    ]
    return fit(lines, width)


# ---- which one is meant -------------------------------------------------------------------------


def _unknown(name: str, known: Sequence[str]) -> str:
    if not known:
        return f"no such stream: {name}; nobody publishes now"
    by_key = {full.partition("/")[2]: full for full in known}
    near = get_close_matches(name, known, NEAR_NAMES, 0.6)
    near += [by_key[key] for key in get_close_matches(name.rpartition("/")[2], by_key, NEAR_NAMES)]
    found = list(dict.fromkeys(near))[:NEAR_NAMES]
    if found:
        return f"no such stream: {name}; did you mean {' or '.join(found)}?"
    return f"no such stream: {name}; `tfarm status` lists the {counted(len(known), 'stream')}"


def _decisions_about(status: Json, stream: Json) -> list[Json]:
    about = (stream["app"], stream["key"])
    return [entry for entry in status["decisions"] if (entry["app"], entry["key"]) == about]


# ---- the parts, top to bottom -------------------------------------------------------------------


def _line_words(line: Json) -> str:
    packets = counted(line["received"], "packet")
    words = (
        f"{line['protocol'].upper()}, latency {line['latency_ms']} ms",
        f"round trip {line['rtt_ms']:.1f} ms",
        f"{packets}, {line['missed']} asked for again, {line['lost']} did not come in time",
        f"{line['undecrypted']} not decrypted" if line["undecrypted"] else "",
    )
    return ", ".join(filter(None, words))


def _standby_words(standby: Json, stream: Json, now_unix: float) -> str:
    size = f"{standby['width']}x{standby['height']}" if standby["width"] else ""
    words = (
        f"{standby['publisher']} stands by for {duration(now_unix - standby['since_unix'])}",
        "" if standby["is_ready"] else "sends no pictures now",
        size,
        f"{standby['fps']:.1f} fps" if standby["fps"] else "",
        f"{standby['bitrate_bps'] / 1000:.0f} kbit/s" if standby["bitrate_bps"] else "",
        standby["codec"],
        f"switched {counted(stream['switches'], 'time')} so far" if stream.get("switches") else "",
    )
    return ", ".join(filter(None, words))


def _publisher(stream: Json, now_unix: float, width: int) -> list[Line]:
    lines = wrap(f"{name_of(stream)}  {stream['state']}", width, "bold")
    since = stream["since_unix"]
    if stream["is_live"]:
        by_host = f" at host {stream['by_host']}," if stream.get("by_host") else ""
        role = f" ({stream['role']})" if stream.get("role") else ""
        who = f"{stream['publisher']}{role}{by_host} by {stream['ingest']}"
        lines += _fact("publisher", f"{who}, for {duration(now_unix - since)}", width)
        if line := stream.get("line"):
            lines += _fact("line", _line_words(line), width)
    elif since:
        lines += _fact(
            "publisher",
            f"away for {duration(stream['away_s'] or 0.0)}; "
            f"the stream began {duration(now_unix - since)} ago",
            width,
        )
    if standby := stream.get("standby"):
        lines += _fact(standby["role"], _standby_words(standby, stream, now_unix), width)
    size = f"{stream['width']}x{stream['height']}" if stream["width"] else "size not known yet"
    gop = f"keyframes {stream['gop_ms'] / 1000:.1f} s apart" if stream["gop_ms"] else ""
    picture = (
        size,
        f"{stream['fps']:.1f} fps",
        f"{stream['bitrate_bps'] / 1000:.0f} kbit/s with sound",
        stream["codec"],
        gop,
    )
    lines += _fact("picture", ", ".join(filter(None, picture)), width)
    levels = stream["levels"]
    sound = stream["audio"] or "none"
    if levels is not None:
        sound += f", peak {levels['peak_dbfs']:.0f} dBFS, RMS {levels['rms_dbfs']:.0f} dBFS"
    lines += _fact("sound", sound, width)
    where = stream["worker"] or "no device"
    lines += _fact("runs on", f"{where}: {stream['reason']}", width)
    waiting = stream["waiting_players"]
    watching = counted(players(stream), "player")
    lines += _fact("played by", watching + (f", {waiting} wait" if waiting else ""), width)
    for push in stream.get("pushes", ()):
        lines += _fact("pushed", push_words(push), width)
    for recording in stream.get("recordings", ()):
        lines += _fact("recorded", recording_words(recording), width)
    return lines


def _notices(stream: Json, now_unix: float, width: int) -> list[Line]:
    """What is wrong with the source, then what is wrong with its way through the farm."""
    notices: Sequence[Json] = stream["notices"]
    own = {f"source: {notice['words']}" for notice in notices}
    others = [words for words in problems(stream) if words not in own]
    if not notices and not others:
        return [*_title("Notices"), (Span("nothing is wrong with it", "green"),)]
    lines = _title("Notices")
    for notice in sorted(notices, key=lambda notice: not notice["is_fault"]):  # stable
        since = duration(now_unix - notice["since_unix"])
        style = "yellow" if notice["is_fault"] else ""
        lines += _item(f"{notice['words']} ({notice['code']}, for {since})", width, style)
    for words in others:
        lines += _item(words, width, "yellow")
    return lines


def _renditions(stream: Json, width: int) -> list[Line]:
    has_state = any(one["state"] in ("cold", "starting") for one in stream["renditions"])
    is_measured = any(one["quality"] for one in stream["renditions"])
    columns = (
        Column("name"),
        Column("codec", 4),
        Column("size", 1),
        *([Column("state", 2)] if has_state else ()),
        Column("fps", is_number=True),
        Column("kbit/s", is_number=True),
        *([Column("SSIM", is_number=True)] if is_measured else ()),
        *([Column("PSNR", 5, is_number=True)] if is_measured else ()),
        Column("players", is_number=True),
        Column("dropped", 2, is_number=True),
        Column("to players", 3, is_number=True),
    )
    rows = [
        Row(
            (
                rendition["name"],
                _CODECS.get(rendition["codec"], rendition["codec"]) or "-",
                f"{rendition['width']}x{rendition['height']}" if rendition["width"] else "-",
                *([rendition["state"] or "-"] if has_state else ()),
                f"{rendition['fps']:.1f}",
                f"{rendition['bitrate_bps'] / 1000:.0f}",
                *(_quality(rendition["quality"]) if is_measured else ()),
                str(rendition["players"]),
                str(rendition["dropped"]),
                str(rendition["dropped_to_players"]),
            )
        )
        for rendition in stream["renditions"]
    ]
    lines = [*_title("Renditions"), *table(columns, rows, width)]
    for entry in stream["omitted"]:
        lines += _item(f"{entry['name']} is omitted: {entry['reason']}", width)
    return lines


def _quality(quality: Json | None) -> tuple[str, str]:
    """SSIM, and PSNR in dB."""
    if quality is None:
        return "-", "-"
    return f"{quality['ssim']:.3f}", f"{quality['psnr_db']:.1f}"


def _delay(stream: Json, width: int) -> list[Line]:
    """One row a stage, in the order of a frame's way; of renditions, the slowest."""
    stages = stream["stages_ms"]
    rows = []
    for stage in STREAM_STAGES:
        if stages.get(stage):
            rows.append(_stage(stage, stages[stage], ""))
    names = [rendition["name"] for rendition in stream["renditions"]]
    for stage in RENDITION_STAGES:
        known = {name: stages[f"{stage}:{name}"] for name in names if stages.get(f"{stage}:{name}")}
        if known:
            slowest = max(known, key=lambda name: known[name][-1])
            rows.append(_stage(stage, known[slowest], slowest))
    if not rows:
        return []
    columns = (
        Column("stage"),
        Column("p50", is_number=True),
        Column("p99", is_number=True),
        Column("of", 1),
    )
    return [*_title("Delay in ms (of renditions, the slowest)"), *table(columns, rows, width)]


def _stage(stage: str, times: Sequence[float], of: str) -> Row:
    return Row((stage, f"{times[0]:.1f}", f"{times[-1]:.1f}", of))


def _dropped(stream: Json, width: int) -> list[Line]:
    """What was dropped, by place, since the stream's start there."""
    places = dict(stream["dropped"])
    places["by the worker, not decoded or not shown"] = stream["dropped_by_worker"]
    places["not decoded, or damaged"] = stream["decode_errors"]
    for rendition in stream["renditions"]:
        if rendition["name"] != SOURCE:
            places[f"{rendition['name']}, its encoder was behind"] = rendition["dropped"]
        places[f"{rendition['name']}, to players too slow"] = rendition["dropped_to_players"]
    rows = [Row((str(count), place)) for place, count in places.items() if count]
    if not rows:
        return []
    columns = (Column("count", is_number=True), Column("where", is_text=True))
    return [*_title("Dropped"), *table(columns, rows, width)]


def _decisions(decisions: Sequence[Json], width: int) -> list[Line]:
    if not decisions:
        return []
    rows = [
        Row((f"{datetime.fromtimestamp(entry['at_unix']):%H:%M:%S}", entry["text"]))
        for entry in decisions[-SHOWN_DECISIONS:]
    ]
    columns = (Column("at"), Column("what", is_text=True))
    return [*_title("Decided about it"), *table(columns, rows, width)]


# ---- lines --------------------------------------------------------------------------------------


def _title(text: str) -> list[Line]:
    return [(), (Span(text, "bold"),)]


def _fact(label: str, text: str, width: int) -> list[Line]:
    """A label, and text that goes on below itself."""
    first, *rest = wrap(text, max(1, width - _LABEL))
    indent = Span(" " * _LABEL)
    return [(Span(f"{label:<{_LABEL}}", "dim"), *first), *((indent, *line) for line in rest)]


def _item(text: str, width: int, style: str = "") -> list[Line]:
    first, *rest = wrap(text, max(1, width - 2), style)
    return [(Span("- "), *first), *((Span("  "), *line) for line in rest)]

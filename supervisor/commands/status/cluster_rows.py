"""What status says of a cluster of hosts: its document, and lines for people. Pure."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from common.ipc.identity import StreamId
from common.process.log import stream_label
from common.words import counted, duration
from supervisor.farm.farm import Farm

Json = dict[str, Any]


def cluster_document(farm: Farm) -> Json | None:
    """All that this farm knows of its cluster; None: it is alone."""
    cluster = farm.state.settings.cluster
    if not cluster.is_enabled:
        return None
    view = farm.registry.view
    if view is None:
        found: Json = {
            "is_in_touch": False,
            "since_unix": 0.0,
            "reason": "the cluster process is not running",
            "hosts": [],
            "owned": 0,
            "unregistered": len(farm.state.streams),
            "elsewhere": 0,
            "endpoints": {},
            "templates_revision": 0,
        }
    else:
        found = asdict(view) | {"hosts": [asdict(host) for host in view.hosts]}
    own = {"name": cluster.name, "host": cluster.host}
    return {**own, **found, "forwarded": _forwarded(farm), "played": _played(farm)}


def _forwarded(farm: Farm) -> list[Json]:
    """The publishers here whose streams other hosts have; streams by their labels."""
    beats = [child.heartbeat for child in farm.state.children.values() if child.heartbeat]
    return [
        {
            "stream": stream_label(status.stream_id),
            "host": status.forwarded_to,
            "publisher": status.address,
            "since_unix": status.since_unix,
            "fps": round(status.fps, 2),
            "bitrate_bps": round(status.bitrate_bps),
            "frames": status.frames,
            "dropped": sum(status.dropped.values()),
        }
        for beat in beats
        for status in beat.publishers
        if status.forwarded_to
    ]


def _played(farm: Farm) -> list[Json]:
    """The streams of other hosts that are played here; streams by their labels."""
    return [
        {
            "stream": stream_label(stream_id),
            "host": host,
            "players": sum(one["players"] for one in renditions),
            "waiting_players": waiting,
            "renditions": [one for one in renditions if one["players"] or one["bitrate_bps"]],
        }
        for stream_id, host in farm.remote_plays.hosts.items()
        for renditions, waiting in [_served(farm, stream_id)]
    ]


def _served(farm: Farm, stream_id: StreamId) -> tuple[list[Json], int]:
    """What viewers here have of a stream, by rendition; and how many wait for it."""
    by_name: dict[str, Json] = {}
    waiting = 0
    for name, child in farm.state.children.items():
        served = child.heartbeat.served if child.heartbeat and name.kind != "relay" else ()
        for status in served:
            if status.stream_id != stream_id:
                continue
            waiting += status.waiting_players
            for one in status.renditions:
                row = by_name.setdefault(
                    one.name, {"name": one.name, "players": 0, "fps": 0.0, "bitrate_bps": 0}
                )
                row["players"] += one.players
                row["fps"] = max(row["fps"], round(one.fps, 2))
                row["bitrate_bps"] = max(row["bitrate_bps"], round(one.bitrate_bps))
    return list(by_name.values()), waiting


def cluster_line(cluster: Json, now_unix: float) -> tuple[str, bool]:
    """A line, and whether it says that something is wrong."""
    since = f" for {duration(now_unix - cluster['since_unix'])}" if cluster["since_unix"] else ""
    words = f"cluster {cluster['name']}, host {cluster['host']}: "
    if cluster["is_in_touch"]:
        words += f"in touch{since}, {counted(len(cluster['hosts']), 'host')}"
    else:
        words += f"not in touch{since}: {cluster['reason']}"
    streams = [f"{counted(cluster['owned'], 'stream')} registered"]
    if cluster["unregistered"]:
        streams.append(f"{cluster['unregistered']} not yet")
    if cluster["elsewhere"]:
        streams.append(f"{cluster['elsewhere']} owned by another host, too")
    if cluster.get("forwarded"):
        streams.append(f"{counted(len(cluster['forwarded']), 'publisher')} forwarded")
    if cluster.get("played"):
        streams.append(f"{counted(len(cluster['played']), 'stream')} of other hosts played")
    is_wrong = not cluster["is_in_touch"] or bool(cluster["unregistered"] or cluster["elsewhere"])
    return f"{words}; {', '.join(streams)}", is_wrong


def state_of(is_draining: bool, is_missing: bool) -> str:
    """A host's state, in a word."""
    return "missing" if is_missing else "draining" if is_draining else "ready"


def cluster_page(cluster: Json, now_unix: float) -> list[str]:
    """What `tfarm cluster status` prints."""
    lines = [cluster_line(cluster, now_unix)[0], ""]
    rows = [("HOST", "STREAMS", "FREE", "RTMP", "RELAY", "VERSION", "TEMPLATES", "STATE")]
    for host in cluster["hosts"]:
        free = ", ".join(
            f"{name} {host['free'].get(name, 0.0):.0f} of {capacity:.0f}"
            for name, capacity in host["capacity"].items()
        )
        state = state_of(host["is_draining"], host["is_missing"])
        relay = host["relay"] or "-"
        first = (host["name"], str(host["streams"]), free or "-")
        templates = str(host.get("templates_revision") or "-")  # an older supervisor has none
        rows.append((*first, host["rtmp"], relay, host["version"], templates, state))
    lines += _columns(rows)
    refusing = {host["name"]: host.get("templates_problem") for host in cluster["hosts"]}
    if any(refusing.values()):
        words = (f"{host} refuses templates: {why}" for host, why in refusing.items() if why)
        lines += ["", *words]
    if cluster.get("forwarded"):
        forwarded = [("FORWARDED", "TO HOST", "PUBLISHER", "FPS", "MBIT/S", "DROPPED")]
        for row in cluster["forwarded"]:
            figures = f"{row['fps']:.0f}", f"{row['bitrate_bps'] / 1e6:.1f}", str(row["dropped"])
            forwarded.append((row["stream"], row["host"], row["publisher"], *figures))
        lines += ["", *_columns(forwarded)]
    if cluster.get("played"):
        played = [("PLAYED HERE", "OF HOST", "PLAYERS", "RENDITIONS", "MBIT/S")]
        for row in cluster["played"]:
            names = " ".join(f"{one['name']}:{one['players']}" for one in row["renditions"])
            rate = sum(one["bitrate_bps"] for one in row["renditions"]) / 1e6
            who = row["stream"], row["host"], str(row["players"])
            played.append((*who, names or "-", f"{rate:.1f}"))
        lines += ["", *_columns(played)]
    wrong = {url: fault for url, fault in cluster["endpoints"].items() if fault}
    if wrong:
        lines += ["", *(f"etcd {url}: {fault}" for url, fault in wrong.items())]
    return lines


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]

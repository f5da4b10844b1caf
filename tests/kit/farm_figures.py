"""A farm's figures by its status document, for tests that make documents."""

from collections.abc import Mapping
from typing import Any

from common.config.ladder import SOURCE
from common.ipc.figures import (
    ChildFigures,
    FarmFigures,
    Made,
    Received,
    Refusals,
    RenditionFigures,
    Served,
    StreamFigures,
)
from common.process.log import stream_label


def quality_of(rendition: Any) -> tuple[float | None, float | None, float | None, bool]:
    """SSIM, PSNR, the floor, and whether it is below; of the source none."""
    if rendition["name"] == SOURCE:
        return None, None, None, False
    quality = rendition["quality"] or {}
    measured = quality.get("ssim"), quality.get("psnr_db")
    return *measured, rendition["quality_floor"], rendition["is_low"]


def figures_of(document: Mapping[str, Any]) -> FarmFigures:
    """What a supervisor would give beside this document, but for delays of processes."""
    slowest: dict[str, list[float]] = {}
    for stream in document["streams"]:
        for stage, times in stream["stages_ms"].items():
            known = slowest.setdefault(stage.partition(":")[0], list(times))
            known[:] = map(max, known, times)
    return FarmFigures(
        version=document["version"],
        since_unix=document["since_unix"],
        is_ready=not (document["closed"] or document["no_room"]),
        queued=document["queued"],
        bans=len(document["bans"]),
        apps=document["apps"],
        children=[_child(row) for row in (document["supervisor"], *document["children"])],
        devices=document["devices"],
        host=document["host"],
        refused=[
            Refusals(row["what"], row["reason"], row["cause"], row["count"])
            for row in document.get("refused_causes", ())
        ],
        streams=[_stream(row) for row in document["streams"]],
        stages_ms=slowest,
        free_streams={app: row["count"] for app, row in document.get("free_streams", {}).items()},
    )


def _child(row: Mapping[str, Any]) -> ChildFigures:
    return ChildFigures(
        row["name"],
        row["kind"],
        str(row["pid"]),
        row["state"] == "ready",
        row["restarts"],
        row["memory_bytes"],
        row["cpu_percent"],
        row.get("counters", {}) if row["kind"] == "hooks" else {},
        (),
    )


def _stream(row: Mapping[str, Any]) -> StreamFigures:
    renditions = row["renditions"]
    return StreamFigures(
        row["app"],
        stream_label(f"{row['app']}/{row['key']}"),
        row["state"],
        row["device"],
        row["width"],
        row["height"],
        row["codec"],
        row["bitrate_bps"],
        row["fps"],
        row["queue_ms"],
        len(row["notices"]),
        row["av_skew_ms"],
        row["waiting_players"],
        [
            RenditionFigures(
                rendition["name"],
                rendition["players"],
                rendition["fps"],
                rendition["bitrate_bps"],
                row["stages_ms"].get(f"total:{rendition['name']}", ()),
                rendition["players_by_protocol"],
                rendition["state"] if rendition["name"] != SOURCE else "",
                *quality_of(rendition),
            )
            for rendition in renditions
        ],
        Received(
            f"{row['ingest']}/{row['since_unix']}",
            row["frames"],
            row["bytes"],
            row["dropped"],
            row["switches"],
        ),
        Made(
            f"{row['worker']}/{row['generation']}",
            row["frames_decoded"],
            row["decode_errors"],
            row["dropped_by_worker"],
            row["dropped_by_renditions"],
            {one["name"]: one["frames"] for one in renditions if one["name"] != "source"},
        ),
        [
            Served("egress:0", one["name"], one["dropped_to_players"], 1000 * one["players"])
            for one in renditions
        ],
        row["standby"] is not None,
    )

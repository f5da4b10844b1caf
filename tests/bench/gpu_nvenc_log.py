"""What reached the encoder's driver, by the log of its simulator: parameters, packets, refusals."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.bench.gpu_scene import Scene, Table

VBR = "480p"  # this one rendition
Row = Mapping[str, Any]


def check_log(scene: Scene, table: Table, rows: Sequence[Row]) -> None:
    """Check all that the log says."""
    _check_parameters(scene, table, rows)
    _check_packets(table, rows)
    errors = [
        f"{row['call']}: {row.get('error', row['status'])}"
        for row in rows
        if row.get("status", "SUCCESS") not in ("SUCCESS", "NEED_MORE_INPUT")
    ]
    table.add("refused by the driver", "; ".join(dict.fromkeys(errors))[:300] or "nothing")
    left = [row["left"] for row in rows if "left" in row and any(row["left"].values())]
    table.add("left behind by destroyed sessions", str(left[:3]) if left else "nothing")


def _check_parameters(scene: Scene, table: Table, rows: Sequence[Row]) -> None:
    by_size = {(width, height): (name, rate) for name, width, height, rate in scene.size.renditions}
    source = scene.clip.sps
    colours = {
        "full_range": int(source.full_range),
        "colour": 1,
        "primaries": source.colour_primaries,
        "transfer": source.colour_transfer,
        "matrix": source.colour_matrix,
    }
    opened = [
        row
        for row in rows
        if row["call"] == "InitializeEncoder" and row["session"] != 1  # the test encode at the boot
    ]
    wrong: list[str] = []
    for row in opened:
        size = row["width"], row["height"]
        name, rate = by_size.get(size, ("none of the template", 0))
        wrong += _differences(row, _parameters(name, rate), f"{size[0]}x{size[1]} ")
        wrong += _differences(row.get("vui", {}), colours, f"{size[0]}x{size[1]} vui.")
    table.check(
        f"parameters at {len(opened)} encoders as the template says, colours as the source",
        "; ".join(dict.fromkeys(wrong))[:400] or "all",
        len(opened) >= 6 and not wrong,
    )


def _parameters(rendition: str, bitrate_bps: int) -> dict[str, object]:
    """What the template asks of an encoder, in the names of the log."""
    peak = bitrate_bps * 3 // 2 if rendition == VBR else bitrate_bps
    return {
        "bitrate": bitrate_bps,
        "max_bitrate": peak,
        "vbv": peak,
        "rc": "vbr" if rendition == VBR else "cbr",
        "fps": "30/1",
        "gop": 120,
        "preset": "P3",
        "tuning": 3,  # ultra low latency
        "profile": "main",
        "frameIntervalP": 1,
        "lookahead": 0,
        "status": "SUCCESS",
    }


def _differences(found: Row, wanted: Row, prefix: str) -> Iterator[str]:
    for name, value in wanted.items():
        if found.get(name) != value:
            yield f"{prefix}{name}={found.get(name)} instead of {value}"


def _check_packets(table: Table, rows: Sequence[Row]) -> None:
    """Each picture's packet is collected before the next picture; IDRs stand where others do."""
    pending: dict[tuple[int, int], int] = {}
    held = encoded = 0
    idrs: dict[tuple[int, int], set[int]] = defaultdict(set)
    for row in rows:
        session = (row.get("pid", 0), row.get("session", 0))
        if row["call"] == "EncodePicture" and row["status"] == "SUCCESS":
            encoded += 1
            held += session in pending
            pending[session] = row.get("frame", -1)
        elif row["call"] == "LockBitstream" and row["status"] == "SUCCESS":
            held += pending.pop(session, None) != row["frame"]
        elif row["call"] == "Picture" and row["type"] == "IDR" and row["frame"] > 0:
            idrs[session].add(row["ts"])
    table.check(
        "each packet out of the call that took its picture in",
        f"{encoded} pictures, {held} held back, {len(pending)} never collected",
        encoded > 0 and not held,
    )
    largest = sorted(idrs.values(), key=len, reverse=True)[:6]
    shared = set.intersection(*largest) if largest else set()
    table.add("IDRs at the encoders", f"{[len(at) for at in largest]}, {len(shared)} times shared")

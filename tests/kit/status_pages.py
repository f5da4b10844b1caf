"""Status documents as a farm gives them, without a farm."""

from collections.abc import Sequence
from typing import Any


def rendition_row(name: str, width: int, height: int, **fields: Any) -> dict[str, Any]:
    row = {
        "name": name,
        "width": width,
        "height": height,
        "fps": 30.0,
        "bitrate_bps": 2_500_000,
        "frames": 900,
        "dropped": 0,
        "players": 0,
        "players_by_protocol": {"rtmp": fields["players"]} if fields.get("players") else {},
        "dropped_to_players": 0,
        "codec": "" if name == "source" else "h264",
        "last_pts_ms": 30_000,
        "state": "made",
        "quality": {"ssim": 0.9712, "psnr_db": 40.46, "at_unix": 1_900.0},
        "quality_floor": None,
        "is_low": False,
    }
    return row | fields


def stream_row(
    app: str = "live", key: str = "cam0", index: int = 0, *, address: str = "203.0.113.7:50122"
) -> dict[str, Any]:
    """One live stream; `index` makes its numbers differ from those of others."""
    return {
        "app": app,
        "key": key,
        "is_key_secret": True,
        "is_open_to_players": True,
        "state": "live",
        "placement": "live",
        "is_live": True,
        "away_s": None,
        "publisher": address,
        "ingest": "ingest:0",
        "since_unix": 1_880.0,
        "generation": index + 1,
        "worker": f"worker:cpu:{index % 2}",
        "device": f"cpu:{index % 2}",
        "reason": "software: 0% used, least of 2 with room",
        "cannot_move": "",
        "crashes": 0,
        "degraded": "",
        "dropped_by_renditions": 0,
        "dedicated_worker": "",
        "width": 1280,
        "height": 720,
        "fps": 29.94,
        "bitrate_bps": 2_510_000,
        "codec": "avc1.64001f",
        "bytes": 9_000_000 + index,
        "av_skew_ms": 0.0,
        "line": None,
        "role": "",
        "standby": None,
        "switches": 0,
        "pushes": [],
        "recordings": [],
        "gop_ms": 2000,
        "audio": "AAC-LC 48 kHz 2ch",
        "source_clock": "",
        "notices": [],
        "levels": None,
        "frames": 900,
        "dropped": {"ingest": 70_000 + index},
        "frames_in": 900,
        "frames_decoded": 899,
        "decode_errors": 0,
        "dropped_by_worker": 0,
        "queue_ms": 12.3,
        "waiting_players": 0,
        "omitted": [],
        "renditions": [
            rendition_row("source", 1280, 720, players=1000 + index),
            rendition_row("720p", 1280, 720),
            rendition_row("480p", 854, 480),
            rendition_row("360p", 640, 360),
        ],
        "stages_ms": {},
    }


def _process(name: str, pid: int) -> dict[str, Any]:
    return {
        "name": name,
        "kind": name.partition(":")[0],
        "state": "ready",
        "pid": pid,
        "restarts": 0,
        "memory_bytes": 50 * 2**20,
        "cpu_percent": 12.3,
        "reason": "",
        "state_s": 9.0,
    }


def _device(index: int, streams: int) -> dict[str, Any]:
    return {
        "name": f"cpu:{index}",
        "device": "cpu",
        "worker": f"worker:cpu:{index}",
        "workers": 1,
        "kind": "software",
        "label": "2 cores, libx264",
        "path": "software",
        "state": "ready",
        "capacity": 200.0,
        "is_capacity_shared": True,
        "used": 11.5 * streams,
        "reason": "",
        "streams": streams // 2,
        "memory_bytes": 0,
        "memory_used": 0,
        "engines": {},
        "use": None,
        "fps_in": 30.0 * streams,
        "fps_out": 90.0 * streams,
        "queue_ms": 12.3,
        "notes": [],
    }


def refusal_row(index: int = 0, **fields: Any) -> dict[str, Any]:
    """A refusal of a publisher with a wrong key."""
    row = {
        "what": "publish",
        "reason": "denied",
        "words": "the publish key (?key=...) of live is wrong",
        "address": f"203.0.113.{index}:50122",
        "at_unix": 1_900.0 + index,
        "stream": f"live/3fa2c1d{index % 10}",
        "name": "",
        "cause": "wrong-key",
        "count": 1 + index,
    }
    return row | fields


def farm_document(streams: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """A farm of two software workers with these streams."""

    return {
        "version": "0.1.0",
        "run_dir": "/run/tfarm",
        "since_unix": 1_000.0,
        "now_unix": 2_000.0,
        "listen": {"rtmp": ["127.0.0.1:1935"]},
        "warnings": [],
        "apps": {"live": ["720p", "480p", "360p", "source"]},
        "supervisor": _process("supervisor", 4000),
        "children": [
            _process(name, 4001 + i)
            for i, name in enumerate(("ingest:0", "egress:0", "worker:cpu:0", "worker:cpu:1"))
        ],
        "host": {"cores": {"capacity": 200.0, "used": 23.0 * len(streams)}},
        "encoder_session_limit": None,
        "totals": {
            "players": sum(r["players"] for s in streams for r in s["renditions"]),
            "in_bps": sum(s["bitrate_bps"] for s in streams),
            "out_bps": 3 * sum(s["bitrate_bps"] for s in streams),
        },
        "devices": [_device(0, len(streams)), _device(1, len(streams))],
        "streams": list(streams),
        "waiting": 0,
        "queued": 0,
        "closed": "",
        "no_room": "",
        "kicked": [],
        "bans": [],
        "pulls": [],
        "push_rules": [],
        "uploads": [],
        "refused": {},
        "refusals": [],
        "decisions": [],
    }

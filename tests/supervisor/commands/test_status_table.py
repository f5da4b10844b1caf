"""Tables for states that `test_status.py` does not come to."""

import io
from typing import Any

from rich.console import Console

from common.process.log import stream_label
from supervisor.commands.status_table import tables
from tests.kit.children import CPU0, INGEST0
from tests.kit.farm_rig import MakeRig, Rig
from tests.supervisor.commands.test_status_document import document, streaming


def shown(found: dict[str, Any], width: int = 100) -> str:
    """What the terminal shows, folded lines joined."""
    out = io.StringIO()
    Console(file=out, width=width).print(tables(found, 2_000.0))
    assert max(map(len, out.getvalue().splitlines())) <= width
    return " ".join(out.getvalue().split())


def test_a_farm_that_is_just_starting() -> None:
    me = {
        "name": "supervisor",
        "state": "ready",
        "pid": 1,
        "restarts": 0,
        "memory_bytes": 0,
        "cpu_percent": 0.0,
        "reason": "",
    }
    document = {
        "version": "0.1.0",
        "since_unix": 0.0,
        "listen": {"rtmp": []},
        "apps": {},
        "supervisor": me,
        "children": [me | {"name": "ingest:0", "state": "backoff", "pid": 0, "reason": "port"}],
        "devices": [],
        "streams": [],
        "waiting": 0,
        "queued": 0,
        "closed": "",
        "host": {"cores": {"capacity": 200.0, "used": 0}},
        "refused_full": 0,
        "decisions": [],
        "encoder_session_limit": {"sessions": 7, "for_s": 599.5, "reason": "the driver's"},
    }
    out = io.StringIO()
    Console(file=out, width=120).print(tables(document, 10.0))
    assert "not listening yet" in out.getvalue()
    assert "backoff" in out.getvalue()
    assert "note: encoder sessions held to 7 for 10 min more: the driver's" in out.getvalue()
    assert "Host:" not in out.getvalue()
    assert "Last refusals" not in out.getvalue()


def test_what_the_devices_share_is_told_where_it_is_used(rig: Rig) -> None:
    found = streaming(rig)
    assert "Host: cores 23 of 200 units Streams" in shown(found)
    found["host"]["encoder_sessions"] = {"capacity": 8, "used": 3}
    found["host"]["hybrid_cores"] = {"capacity": None, "used": 40.0}
    found["refused_full"] = 2
    assert (
        "Host: cores 23 of 200 units, encoder sessions 3 of 8, hybrid cores 40 units, "
        "2 publishers refused so far: full" in shown(found)
    )


def test_what_is_wrong_with_a_stream_stands_below_it(rig: Rig) -> None:
    found = streaming(rig)
    assert "degraded" not in shown(found)
    found["streams"][0] |= {
        "degraded": "no top rendition",
        "skipped_by_worker": 12,
        "crashes": 1,
        "cannot_move": "software: cpu:1 is down",
        "notices": [
            {"code": "no-sound", "words": "no sound", "since_unix": 1.0, "is_fault": False},
            {"code": "long-gop", "words": "keyframes: 8 s", "since_unix": 2.0, "is_fault": True},
        ],
    }
    told = shown(found, 300)
    assert "degraded: no top rendition, 12 pictures dropped, aboard 1 crashed workers" in told
    assert "cannot move: software: cpu:1 is down" in told
    assert "source: keyframes: 8 s (and 1 more), degraded" in told
    assert "degraded: no top rendition" in shown(found)


def test_the_last_refusals_and_losses_are_shown_without_keys(make_rig: MakeRig) -> None:
    rig = make_rig(cores=1, workers=1)
    rig.publish("live/first")
    for index in range(7):
        rig.ask(f"live/secret{index}")
        rig.tick(5.0)
    told = shown(document(rig), 300)
    refused = [stream_label(f"live/secret{index}") for index in range(7)]
    assert [label in told for label in refused] == [False, False] + 5 * [True]
    assert told.index(refused[2]) < told.index(refused[6])
    assert "refused: gpu-only: no such device" in told
    assert "secret" not in told
    assert "placed on" not in told
    rig.down(CPU0)
    assert f"{stream_label('live/first')} lost worker:cpu:0: killed" in shown(document(rig), 300)


def test_a_quarantine_and_a_lost_ingest_are_among_them(rig: Rig) -> None:
    rig.publish("live/bad")
    for _ in range(2):
        rig.down(rig.farm.state.device_of(rig.stream("live/bad")))
        rig.tick(1.0)
    rig.down(INGEST0)
    told = shown(document(rig), 300)
    for words in ("quarantined: alone on worker:cpu:q1", "its ingest is lost: killed"):
        assert f"{stream_label('live/bad')} {words}" in told

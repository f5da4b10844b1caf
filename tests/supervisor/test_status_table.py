"""Tables for states that `test_status.py` does not come to."""

import io

from rich.console import Console

from supervisor.status_table import tables


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
        "parked": 0,
        "closed": "",
        "encoder_cap": {"sessions": 7, "for_s": 599.5, "reason": "the driver's"},
    }
    out = io.StringIO()
    Console(file=out, width=120).print(tables(document, 10.0))
    assert "not listening yet" in out.getvalue()
    assert "backoff" in out.getvalue()
    assert "note: encoder sessions held to 7 for 10 min more: the driver's" in out.getvalue()

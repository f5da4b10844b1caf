"""The names by which processes speak of streams, placements and one another. Pure."""

from typing import NewType

StreamId = NewType("StreamId", str)  # "APP/KEY"; holds a credential: never log it, see common.log
Generation = NewType("Generation", int)  # one placement of a stream; grows, never reused
ChildName = NewType("ChildName", str)  # "ingest:0", "egress:0", "worker:cpu:0", "worker:GPU-…"
BootId = NewType("BootId", str)  # one incarnation of a process: 16 hex digits


def stream_id(app: str, key: str) -> StreamId:
    return StreamId(f"{app}/{key}")


def split_stream_id(stream: StreamId) -> tuple[str, str]:
    """App and key."""
    app, _, key = stream.partition("/")
    return app, key

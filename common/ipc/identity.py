"""The names by which processes speak of streams, placements and one another. Pure."""

from typing import NewType

StreamId = NewType(
    "StreamId", str
)  # "APP/KEY"; holds a credential: never log it, see common.process.log
Generation = NewType("Generation", int)  # one placement of a stream; grows, never reused
ChildName = NewType("ChildName", str)  # "ingest:0", "egress:0", "worker:cpu:0", "worker:GPU-…:1"
BootId = NewType("BootId", str)  # one incarnation of a process: 16 hex digits


def stream_id(app: str, key: str) -> StreamId:
    return StreamId(f"{app}/{key}")


def gpu_worker(uuid: str, index: int = 0) -> ChildName:
    """A worker of a GPU: the first has the GPU's UUID for a name, the others a number besides."""
    return ChildName(f"worker:{uuid}:{index}" if index else f"worker:{uuid}")


def device_of(worker: ChildName) -> str:
    """What a worker works on, by its name: `cpu:0`, or a GPU's UUID, which others may share."""
    device = worker.removeprefix("worker:")
    return device if device.startswith("cpu:") else device.partition(":")[0]


def split_stream_id(stream: StreamId) -> tuple[str, str]:
    """App and key."""
    app, _, key = stream.partition("/")
    return app, key

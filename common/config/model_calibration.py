"""`[[calibration]]`: what a stream takes of a device, as measured. Pure.

The rest of the file's form is in `common/config/model.py`, which says how a key is declared.
"""

from typing import Annotated, Any, ClassVar

from common.config.keys import Holds, Table, key, needed
from common.config.ladder import Pipeline
from common.config.settings import Calibration
from common.config.values import ByteCount, Choice, Integer, Name, Number, SourceLimit, Text

NEW_STREAMS = Holds.NEW_STREAMS

Amount = Annotated[float, Number(0, 1e9)]
Share = Annotated[float, Number(0, 1)]


class CalibrationTable(Table):
    """`[[calibration]]`."""

    title: ClassVar[str] = "what a stream takes, as measured"

    device: Annotated[str, Text()] = needed(
        Calibration, "device", '`"cpu"`, or a GPU\'s UUID or PCI id', NEW_STREAMS, example="cpu"
    )
    template: Annotated[str, Name()] = needed(
        Calibration, "template", "the app", NEW_STREAMS, example="live"
    )
    path: Annotated[Pipeline, Choice(Pipeline)] = needed(
        Calibration, "path", "the pipeline that was measured", NEW_STREAMS, example="software"
    )
    source: Annotated[Any, SourceLimit()] = needed(
        Calibration,
        "source",
        "size and frame rate of the clip",
        NEW_STREAMS,
        example="1920x1080@30",
    )
    streams: Annotated[int, Integer(1, 100_000)] = needed(
        Calibration, "streams", "so many kept real time", NEW_STREAMS, example=8
    )
    units: Annotated[float, Number(1e-6, 1e9)] = needed(
        Calibration,
        "units",
        "the stream's cost by pixel rate; other sources are taken in proportion",
        NEW_STREAMS,
        example=60,
    )
    load: Amount = needed(
        Calibration,
        "load",
        "one stream's part of the device's capacity",
        NEW_STREAMS,
        example=50,
    )
    decode: Share = key(
        Calibration, "decode", "one stream's share of the GPU's decoders", NEW_STREAMS
    )
    scale: Share = key(Calibration, "scale", "one stream's share of the GPU's cores", NEW_STREAMS)
    encode: Share = key(
        Calibration, "encode", "one stream's share of the GPU's encoders", NEW_STREAMS
    )
    memory: Annotated[int, ByteCount(0, 1024**4)] = key(
        Calibration, "memory_bytes", "memory of the GPU that one stream takes", NEW_STREAMS
    )
    cores: Amount = key(
        Calibration, "cores", "how much of `software.capacity` one stream takes", NEW_STREAMS
    )

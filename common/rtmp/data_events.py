"""What a publisher's data and aggregate messages hold, as events (RTMP 1.0 section 7.1). Pure.

Video and audio messages need no reading: the session makes their events itself.
"""

from collections.abc import Callable

from common.errors import Amf0Error
from common.flv import amf0
from common.rtmp.chunks import Message
from common.rtmp.events import AudioReceived, DataReceived, Event, MetadataReceived, VideoReceived
from common.rtmp.messages import MessageType, split_aggregate

Allows = Callable[[int], bool]  # whether metadata of so many bytes may be read


def _always(_: int) -> bool:
    return True


def data_events(message: Message, allows: Allows = _always) -> list[Event]:
    """Give the events of a data or aggregate message. Raises ChunkError."""
    match message.type_id:
        case MessageType.AGGREGATE:
            return aggregate_events(message, allows)
        case MessageType.DATA_AMF3:  # AMF0 behind a byte that says so
            return [data_event(message.timestamp, message.payload[1:], allows)]
        case _:
            return [data_event(message.timestamp, message.payload, allows)]


def data_event(
    timestamp: int, payload: bytes, allows: Allows = _always
) -> MetadataReceived | DataReceived:
    """Read an AMF0 data message; a leading `@setDataFrame` is taken off.

    Metadata that can't or may not be read is data like any other.
    """
    first = amf0.leading_string(payload)
    if first is not None and first[0] == "@setDataFrame":
        payload = payload[first[1] :]
        first = amf0.leading_string(payload)
    is_metadata = first is not None and first[0] == "onMetaData"
    if is_metadata and allows(len(payload)) and _is_amf0(payload):
        return MetadataReceived(timestamp, payload)
    return DataReceived(timestamp, payload)


def aggregate_events(message: Message, allows: Allows = _always) -> list[Event]:
    """Give the events of all parts of an aggregate. Raises ChunkError when it is malformed."""
    events: list[Event] = []
    for part in split_aggregate(message):
        match part.type_id:
            case MessageType.VIDEO:
                events.append(VideoReceived(part.timestamp, part.payload))
            case MessageType.AUDIO:
                events.append(AudioReceived(part.timestamp, part.payload))
            case MessageType.DATA:
                events.append(data_event(part.timestamp, part.payload, allows))
            case _:
                pass
    return events


def _is_amf0(payload: bytes) -> bool:
    try:
        amf0.decode_all(payload)
    except Amf0Error:
        return False
    return True

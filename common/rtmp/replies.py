"""What a server answers, as bytes for the wire: the exact replies that clients wait for.

Pure functions of the outgoing chunk size and the request. The order within each reply is that of
SRS, nginx-rtmp and FFmpeg's own server; a departure that one client would choke on is named
where it was avoided. Info objects are plain objects and the empty command object is null,
because FFmpeg reads nothing else there.
"""

from typing import Final

from common.flv import amf0
from common.rtmp.chunks import encode_message
from common.rtmp.enhanced import answer
from common.rtmp.messages import (
    COMMAND_CHUNK_STREAM,
    STREAM_CHUNK_STREAM,
    MessageType,
    UserControl,
    encode_command,
    set_chunk_size,
    set_peer_bandwidth,
    status_info,
    user_control,
    window_ack_size,
)

FMS_VERSION: Final = "FMS/3,0,1,123"


def connect_accepted(
    transaction_id: float,
    window: int,
    peer_bandwidth: int,
    chunk_size: int,
    is_enhanced: bool = False,
) -> bytes:
    """The windows, the chunk size and the `_result`, already in chunks of that size.

    Set Chunk Size comes before the long `_result` to make OBS happy; FFmpeg copies it for its
    own output. GStreamer looks for the code in the second object. `is_enhanced`: the peer said what
    it knows of Enhanced RTMP, and is told the same of the server.
    """
    properties: amf0.Value = {
        "fmsVer": FMS_VERSION,
        "capabilities": 31.0,
        "mode": 1.0,
        **(answer() if is_enhanced else {}),
    }
    information: amf0.Value = {
        **status_info("status", "NetConnection.Connect.Success", "Connection succeeded."),
        "objectEncoding": 0.0,
    }
    return b"".join(
        (
            window_ack_size(window),
            set_peer_bandwidth(peer_bandwidth),
            set_chunk_size(chunk_size),
            result(chunk_size, transaction_id, properties, information),
        )
    )


def result(chunk_size: int, transaction_id: float, *values: amf0.Value) -> bytes:
    """`_result` of a command, on chunk stream 3."""
    return encode_command(COMMAND_CHUNK_STREAM, 0, chunk_size, "_result", transaction_id, *values)


def error(chunk_size: int, transaction_id: float, code: str, description: str) -> bytes:
    """`_error` of a command. FFmpeg searches the first object after the name: it is the info."""
    info = status_info("error", code, description)
    return encode_command(COMMAND_CHUNK_STREAM, 0, chunk_size, "_error", transaction_id, None, info)


def status(
    chunk_size: int, message_stream_id: int, level: str, code: str, description: str
) -> bytes:
    """`onStatus` on a message stream, with transaction 0."""
    return encode_command(
        STREAM_CHUNK_STREAM,
        message_stream_id,
        chunk_size,
        "onStatus",
        0.0,
        None,
        status_info(level, code, description),
    )


def fc_publish(chunk_size: int, transaction_id: float) -> bytes:
    """`onFCPublish` with the caller's transaction (Livestream Studio), then `_result` (FMLE)."""
    info = status_info("status", "NetStream.Publish.Start", "FCPublish received")
    called_back = encode_command(
        COMMAND_CHUNK_STREAM, 0, chunk_size, "onFCPublish", transaction_id, None, info
    )
    return called_back + result(chunk_size, transaction_id, None, None)


def fc_unpublish(chunk_size: int, transaction_id: float) -> bytes:
    """`onFCUnpublish`, and `_result` where one was asked for."""
    info = status_info("status", "NetStream.Unpublish.Success", "Stopped publishing")
    called_back = encode_command(
        COMMAND_CHUNK_STREAM, 0, chunk_size, "onFCUnpublish", transaction_id, None, info
    )
    if transaction_id == 0:
        return called_back
    return called_back + result(chunk_size, transaction_id, None, None)


def publish_started(chunk_size: int, message_stream_id: int) -> bytes:
    """StreamBegin and Publish.Start: from here on OBS reads nothing any more."""
    return user_control(UserControl.STREAM_BEGIN, message_stream_id) + status(
        chunk_size, message_stream_id, "status", "NetStream.Publish.Start", "Start publishing"
    )


def play_started(chunk_size: int, message_stream_id: int, reset: bool) -> bytes:
    """StreamBegin, Play.Reset if asked for, Play.Start, access to the samples.

    No Data.Start: as the first status it fails GStreamer, and FFmpeg shows a data stream for it.
    """
    pieces = [user_control(UserControl.STREAM_BEGIN, message_stream_id)]
    if reset:
        pieces.append(
            status(
                chunk_size, message_stream_id, "status", "NetStream.Play.Reset", "Playlist reset"
            )
        )
    pieces.append(
        status(chunk_size, message_stream_id, "status", "NetStream.Play.Start", "Start playing")
    )
    pieces.append(
        encode_message(
            STREAM_CHUNK_STREAM,
            MessageType.DATA,
            0,
            message_stream_id,
            amf0.encode("|RtmpSampleAccess", True, True),
            chunk_size,
        )
    )
    return b"".join(pieces)


def play_ended(chunk_size: int, message_stream_id: int, description: str) -> bytes:
    """UnpublishNotify ends librtmp and FFmpeg, StreamEOF GStreamer, Play.Stop the rest."""
    return b"".join(
        (
            status(
                chunk_size,
                message_stream_id,
                "status",
                "NetStream.Play.UnpublishNotify",
                description,
            ),
            user_control(UserControl.STREAM_EOF, message_stream_id),
            status(chunk_size, message_stream_id, "status", "NetStream.Play.Stop", description),
        )
    )

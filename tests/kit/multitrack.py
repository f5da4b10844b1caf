"""Several video tracks in one connection, as Enhanced RTMP has them."""

from collections.abc import Mapping, Sequence

from tests.kit.clients import FlvTag

_VIDEO = 9
_ONE_TRACK = 0


def one_track(track_id: int, body: bytes) -> bytes:
    """A classic H.264 tag body as that of a further track: VideoPacketType.Multitrack."""
    packet = (0, 1, 2)[body[1]]  # a sequence header, pictures, their end
    data = body[2:] if packet == 1 else body[5:]  # pictures have their composition time
    head = bytes((0x80 | body[0] & 0x70 | 6, _ONE_TRACK << 4 | packet))
    return head + b"avc1" + bytes((track_id,)) + data


def merged(first: Sequence[FlvTag], further: Mapping[int, Sequence[FlvTag]]) -> list[FlvTag]:
    """The tags of a clip with the video of others as further tracks, by time."""
    tags = [*first]
    for number, others in further.items():
        tags += [
            FlvTag(_VIDEO, tag.dts_ms, one_track(number, tag.body))
            for tag in others
            if tag.type == _VIDEO
        ]
    headers = [tag for tag in tags if tag.type == 18 or _is_header(tag)]
    rest = [tag for tag in tags if tag not in headers]
    return headers + sorted(rest, key=lambda tag: tag.dts_ms)


def _is_header(tag: FlvTag) -> bool:
    is_track_header = tag.body[0] & 0x8F == 0x86 and tag.body[1] & 0x0F == 0
    return tag.is_header or (tag.type == _VIDEO and is_track_header)

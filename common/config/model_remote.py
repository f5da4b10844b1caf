"""The keys of streams that are fetched from elsewhere. Pure."""

from typing import Annotated, ClassVar

from common.config import keys
from common.config.key_values import StreamKey
from common.config.keys import Holds, Table, needed
from common.config.remote_url import PULL_SCHEMES, RemoteUrl
from common.config.settings import Pull, RtspTransport
from common.config.values import Choice, Name


class PullTable(Table):
    """`[[pull]]`."""

    title: ClassVar[str] = "streams that are fetched from elsewhere"

    app: Annotated[str, Name()] = needed(
        Pull, "app", "the app that the stream is published to", Holds.NOW, example="live"
    )
    key: Annotated[str, StreamKey()] = needed(
        Pull, "key", "its stream key", Holds.NOW, example="door"
    )
    url: Annotated[str, RemoteUrl(PULL_SCHEMES)] = needed(
        Pull,
        "url",
        "where it is fetched: an RTMP server's stream, a camera's RTSP address, an HLS playlist "
        "(`http://…/index.m3u8`), or an SRT listener (`srt://HOST:PORT?streamid=…`). User and "
        "password may stand in it",
        Holds.NOW,
        example="rtsp://user:password@camera.lan/stream1",
    )
    rtsp_transport: Annotated[RtspTransport, Choice(RtspTransport)] = keys.key(
        Pull,
        "rtsp_transport",
        'how an RTSP server sends: `"tcp"` on its own connection, `"udp"` beside it, where a '
        "datagram that is lost is a picture that is broken",
        Holds.NOW,
    )

    def setting(self) -> Pull:
        """What it says."""
        return Pull(**self.settings())

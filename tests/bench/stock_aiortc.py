"""aiortc as its own examples use it, for `webrtc.py`: `python -m tests.bench.stock_aiortc CLIP`.

A WHEP server whose track gives coded pictures of a clip in real time, each connection its own.
"""

import asyncio
import socket
import sys
import time
from fractions import Fraction

import av
from aiohttp import web
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from av.stream import Stream


class CodedClip(MediaStreamTrack):
    """The pictures of a clip, over and over."""

    kind = "video"

    def __init__(self, pictures: list[bytes], fps: int) -> None:
        super().__init__()
        self._pictures, self._fps = pictures, fps
        self._number, self._began_s = 0, time.monotonic()

    async def recv(self) -> "av.Packet[Stream]":
        number, self._number = self._number, self._number + 1
        due_s = self._began_s + number / self._fps
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        packet = av.Packet(self._pictures[number % len(self._pictures)])
        packet.pts = number * 90_000 // self._fps
        packet.time_base = Fraction(1, 90_000)
        return packet


def pictures_of(path: str) -> list[bytes]:
    """The pictures of an FLV file as Annex B."""
    with av.open(path) as clip:
        (stream,) = clip.streams.video
        to_annexb = av.BitStreamFilterContext("h264_mp4toannexb", stream)
        return [bytes(out) for packet in clip.demux(stream) for out in to_annexb.filter(packet)]


async def main() -> None:
    pictures, connections = pictures_of(sys.argv[1]), set()

    async def whep(request: web.Request) -> web.Response:
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        connections.add(connection)
        transceiver = connection.addTransceiver(CodedClip(pictures, 30), "sendonly")
        known = RTCRtpSender.getCapabilities("video").codecs
        transceiver.setCodecPreferences(
            [c for c in known if c.mimeType in ("video/H264", "video/rtx")]
        )
        await connection.setRemoteDescription(RTCSessionDescription(await request.text(), "offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        sdp = connection.localDescription.sdp
        return web.Response(status=201, text=sdp, content_type="application/sdp")

    app = web.Application()
    app.add_routes([web.post("/whep", whep)])
    runner = web.AppRunner(app)
    await runner.setup()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await web.SockSite(runner, listener).start()
        print(listener.getsockname()[1], flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())

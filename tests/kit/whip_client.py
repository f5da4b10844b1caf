"""A publisher by WHIP in a thread: a coded clip again and again as RTP, over a lossy line if asked.

It sends what it is asked for again (by RTX), counts the keyframes that it is asked for, and reports
as browsers do.
"""

import asyncio
import contextlib
import threading
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import av

from common.codecs.h264 import AvcConfig, split_avcc
from common.errors import RtpError
from common.rtp import rtcp
from common.rtp.h264 import packetise
from common.rtp.header import MARKER, PACK, VERSION, is_rtcp
from common.webrtc.dtls import Certificate
from tests.kit.lossy_udp import Line, LossyUdp
from tests.kit.whep_load import OFFER, LightViewer

SENDING: Final = OFFER.replace("a=recvonly", "a=sendonly") + (
    "m=audio 9 UDP/TLS/RTP/SAVPF 111\nc=IN IP4 127.0.0.1\na=mid:1\na=sendonly\na=rtcp-mux\n"
    "a=rtpmap:111 opus/48000/2\n"
)
VIDEO, RTX, AUDIO = 102, 103, 111  # payload types
VIDEO_SSRC, RTX_SSRC, AUDIO_SSRC = 11, 12, 13
SILENCE: Final = b"\xfc\xff\xfe"  # 20 ms of Opus in stereo
KEPT: Final = 2000  # packets, for repeats


class _Sender(LightViewer):
    """The session."""

    offer = SENDING

    def __init__(self, certificate: Certificate) -> None:
        super().__init__(certificate)
        self.keyframes_wanted = self.repeated = 0
        self._kept: deque[tuple[int, bytes, int]] = deque(maxlen=KEPT)
        self._rtx = 0

    @property
    def is_connected(self) -> bool:
        return self._dtls is not None and self._dtls.is_open

    def send(
        self, payload_type: int, sequence: int, timestamp: int, ssrc: int, data: bytes
    ) -> None:
        assert self._dtls is not None
        head = PACK(VERSION, payload_type, sequence & 0xFFFF, timestamp & 0xFFFF_FFFF, ssrc)
        if ssrc == VIDEO_SSRC:
            self._kept.append((sequence & 0xFFFF, data, timestamp))
        self._send(self._dtls.protect(head + data))

    def _on_packet(self, packet: bytes) -> None:
        if not is_rtcp(packet) or self._dtls is None:
            return
        with contextlib.suppress(RtpError):
            for one in rtcp.parse(self._dtls.unprotect_rtcp(packet)):
                if isinstance(one, rtcp.KeyframeWanted):
                    self.keyframes_wanted += 1
                elif isinstance(one, rtcp.Lost):
                    self._repeat(one)

    def _repeat(self, lost: rtcp.Lost) -> None:
        for sequence, data, timestamp in tuple(self._kept):
            if sequence in lost.sequences:
                self.repeated += 1
                self._rtx += 1
                again = sequence.to_bytes(2, "big") + data
                self.send(RTX, self._rtx, timestamp, RTX_SSRC, again)


class WhipPublisher:
    """Publishes from its start until its end."""

    def __init__(self, url: str, clip: Path, line: Line | None = None, key: str = "") -> None:
        """`key` goes as a bearer token."""
        self.words = ""  # of a refusal
        self.answered = threading.Event()
        self.sender: _Sender | None = None
        self._url, self._line = url, line
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._pictures = _pictures(clip)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self.answered.wait(20), "no answer"
        assert not self.words, self.words
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(10)

    async def _run(self) -> None:
        self.sender = sender = _Sender(Certificate())
        async with (
            aiohttp.ClientSession(headers=self._headers) as http,
            contextlib.AsyncExitStack() as on,
        ):
            try:
                prints = await sender.ask(http, self._url)
                if self._line is not None:
                    proxy = LossyUdp(sender._remote, self._line)
                    sender._remote = (await on.enter_async_context(proxy)).address
                while not sender.is_open:
                    await asyncio.sleep(0.01)
                sender.begin_dtls(prints)
                while not sender.is_connected:
                    await asyncio.sleep(0.01)
            except AssertionError as error:
                self.words = str(error)
            self.answered.set()
            if not self.words:
                await self._publish(sender)
                base = self._url.partition("/live/")[0]
                async with http.delete(base + sender.resource) as response:
                    assert response.status == 200
            sender.close()

    async def _publish(self, sender: _Sender) -> None:
        begin_s, number, packets, sounds = time.monotonic(), 0, 0, 0
        while not self._stop.is_set():
            payloads = self._pictures[number % len(self._pictures)]
            for payload in payloads:
                marker = MARKER if payload is payloads[-1] else 0
                sender.send(VIDEO | marker, packets, number * 3600, VIDEO_SSRC, payload)
                packets += 1
            for _ in range(2):
                sender.send(AUDIO, sounds, sounds * 960, AUDIO_SSRC, SILENCE)
                sounds += 1
            if number % 25 == 0:
                sent = [
                    rtcp.Sent(VIDEO_SSRC, number * 3600, packets, 0),
                    rtcp.Sent(AUDIO_SSRC, number * 1920, sounds, 0),
                ]
                sender.send_rtcp(rtcp.sender_reports(sent, b"kit", time.time()))
            number += 1
            await asyncio.sleep(max(0.0, begin_s + number / 25 - time.monotonic()))


def _pictures(clip: Path) -> list[list[bytes]]:
    """The payloads of each picture of a clip of 25 a second without B-frames."""
    with av.open(str(clip)) as container:
        stream: Any = container.streams.video[0]
        config = AvcConfig.parse(bytes(stream.codec_context.extradata))
        sets = (*config.sps, *config.pps)
        return [
            packetise(split_avcc(bytes(packet)), sets if packet.is_keyframe else ())
            for packet in container.demux(stream)
            if packet.size
        ]

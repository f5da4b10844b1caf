"""A viewer by WHEP: aiortc in a thread decodes what it is sent, over a lossy line if asked."""

import asyncio
import contextlib
import itertools
import re
import threading
import time
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from tests.kit.clips import luma_of, read_number
from tests.kit.lossy_udp import Line, LossyUdp


class WhepClient:
    """Watches from its start until its end; what came is there at any time."""

    def __init__(self, url: str, line: Line | None = None) -> None:
        self.status = 0
        self.words = ""  # of a refusal
        self.location = ""
        self.answer = ""
        self.state = ""  # of the connection
        self.pictures: list[tuple[float, int | None, int]] = []  # when, its number, its height
        self.sound_frames = 0
        self.lost = 0  # datagrams, by the line
        self.answered = threading.Event()
        self._url = url
        self._line = line
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self.answered.wait(20), "no answer"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    @property
    def numbers(self) -> list[int]:
        """The numbers of the pictures that could be read."""
        return [number for _, number, _ in self.pictures if number is not None]

    def longest_freeze_s(self) -> float:
        """The longest time between two pictures."""
        times = [at for at, _, _ in self.pictures]
        return max((b - a for a, b in itertools.pairwise(times)), default=0.0)

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        connection.addTransceiver("video", direction="recvonly")
        connection.addTransceiver("audio", direction="recvonly")
        tasks: list[asyncio.Task[None]] = []

        def on_track(track: Any) -> None:
            tasks.append(asyncio.create_task(self._take(track)))

        def on_state() -> None:
            self.state = connection.connectionState

        connection.on("track", on_track)
        connection.on("connectionstatechange", on_state)
        async with contextlib.AsyncExitStack() as stack:
            http = await stack.enter_async_context(aiohttp.ClientSession())
            try:
                await self._connect(connection, http, stack)
            finally:
                self.answered.set()
            if self.status == 201:
                await self._stop.wait()
                async with http.delete(re.match(r"(http://[^/]+)", self._url)[1] + self.location):  # type: ignore[index]
                    pass
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await connection.close()

    async def _connect(
        self,
        connection: RTCPeerConnection,
        http: aiohttp.ClientSession,
        stack: contextlib.AsyncExitStack,
    ) -> None:
        await connection.setLocalDescription(await connection.createOffer())
        offer = connection.localDescription.sdp
        headers = {"Content-Type": "application/sdp"}
        async with http.post(self._url, data=offer, headers=headers) as response:
            self.status, text = response.status, await response.text()
            self.location = response.headers.get("Location", "")
        if self.status != 201:
            self.words = text
            return
        self.answer = text
        if self._line is not None:
            found = re.search(r"a=candidate:1 1 udp \d+ (\S+) (\d+)", text)
            assert found is not None
            proxy = LossyUdp((found[1], int(found[2])), self._line)
            host, port = (await stack.enter_async_context(proxy)).address
            text = text.replace(f"{found[1]} {found[2]} typ", f"{host} {port} typ")
        await connection.setRemoteDescription(RTCSessionDescription(text, "answer"))

    async def _take(self, track: Any) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                if track.kind == "video":
                    number = read_number(luma_of(frame))
                    self.pictures.append((time.monotonic(), number, frame.height))
                else:
                    self.sound_frames += 1

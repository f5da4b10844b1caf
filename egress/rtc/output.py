"""WebRTC as an output of an egress (IO): its sessions, its requests, its sounds."""

import asyncio
import contextlib
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from common.config.settings import Settings
from common.ipc.control_messages import Endpoint
from common.ipc.endpoint import UNIX, socket_path
from common.ipc.identity import StreamId
from common.rtp.history import Frame, History
from common.webrtc import port_handover
from common.webrtc.port_handover import PortGiver, PortTaker
from common.webrtc.request_socket import RequestSocket
from egress.output import Audience, OutputContext, ViewerStatus
from egress.rtc.channel import Channels
from egress.rtc.requests import PROTOCOL, WhepRequests, steps_of
from egress.rtc.session import Session
from egress.rtc.sessions import Sessions
from egress.rtc.sound import Sound
from egress.streams.stream import Stream
from egress.streams.tag import Config, Tag

SOCKET: Final = "whep"
STOP_S: Final = 0.2  # for the last datagrams


class WhepOutput:
    """An `Output`."""

    protocol = PROTOCOL

    def __init__(self, context: OutputContext) -> None:
        self._context = context
        self.channels = Channels(self._on_sound)
        self.sessions = Sessions(context.clock, lambda session: None, self._on_end)
        self._requests = WhepRequests(context, self.sessions, self.channels)
        self._sounds: dict[StreamId, Sound] = {}
        address = context.endpoint(SOCKET, UNIX)
        datagrams = context.endpoint(port_handover.SOCKET, UNIX)
        self.endpoints: Mapping[str, str] = {SOCKET: address, port_handover.SOCKET: datagrams}
        self._socket = RequestSocket(socket_path(address), SOCKET, self._requests.answer)
        self._taker = PortTaker(context.child, self.sessions.take, self.sessions.look_again)
        self.sessions.relay = self._taker.relay
        self._giver = PortGiver(
            socket_path(datagrams), self._give, self.sessions.on_datagram, self._on_absent
        )

    async def listen(self, host: str, port: int) -> None:
        """Have the UDP port; returns when it is there."""
        await self.sessions.listen(host, port, lambda: self._taker.may_bind)

    @property
    def counters(self) -> Mapping[str, int]:
        port = self.sessions.port
        return {
            **self.sessions.counters,
            **self._requests.entrance.counters,
            "rtc viewers": len(self.sessions),
            "rtc datagrams dropped": self._taker.dropped + (port.dropped if port else 0),
        }

    def audience(self, stream_id: StreamId) -> Mapping[str, Audience]:
        found: dict[str, Audience] = {}
        for session in self.sessions.of_stream(stream_id):
            if session.is_connected:
                name = session.viewer.rendition
                before = found.get(name, Audience(0, 0))
                sent = before.sent_bytes + session.octets
                found[name] = Audience(before.players + 1, 0, sent)
        return found

    def viewers(self) -> Iterable[ViewerStatus]:
        now = self._context.clock()
        return [
            ViewerStatus(
                session.number,
                session.stream_id,
                session.viewer.rendition,
                PROTOCOL,
                session.address,
                now - session.opened_s,
                0,
            )
            for session in self.sessions
            if session.is_connected
        ]

    def end_viewer(self, number: int, reason: str) -> None:
        for session in self.sessions:
            if session.number == number:
                session.end(reason)

    def serves(self) -> bool:
        return bool(len(self.sessions))

    def configure(self, settings: Settings) -> None:
        self._requests.configure(settings)

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None:
        self._socket.follow(endpoints)
        self._giver.follow(endpoints)
        self._taker.follow(endpoints)

    def on_stream(self, stream: Stream) -> None:
        """Let those who have no rendition of their own choose between those that are there now."""
        steps = steps_of(stream)
        for session in self.sessions.of_stream(stream.stream_id):
            if session.estimate is not None and steps:
                session.estimate.replace(steps, self._context.clock())

    def check(self, now: float) -> None:
        self._requests.entrance.check()
        self.sessions.check(now)
        for session in self.sessions:
            self._follow_estimate(session)
        live = set(self.channels)
        for stream_id in tuple(self._sounds):
            if stream_id not in live:
                self._sounds.pop(stream_id).close()
        with contextlib.suppress(OSError):  # the run directory is not there yet
            self._socket.listen_again()
            self._giver.listen_again()

    async def stop(self, reason: str) -> None:
        self._requests.entrance.is_stopping = True
        self.sessions.end_all(reason)
        await asyncio.sleep(STOP_S)

    def close(self, reason: str) -> None:
        self.sessions.end_all(reason)
        self._socket.close()
        self._giver.close()
        self._taker.close()
        self.sessions.close()

    # ---- inside -------------------------------------------------------------------------------

    def _give(self) -> socket.socket | None:
        """Let a successor read the port."""
        self._taker.close()  # whoever retired before hears from the successor from now on
        port = self.sessions.port
        return port.give() if port is not None else None

    def _on_absent(self) -> None:
        """Nobody reads the port: let go of it, so that the next one can have it."""
        self.sessions.end_all("the process that took the port over has ended")
        self.sessions.close()

    def _follow_estimate(self, session: Session) -> None:
        """Have a viewer take the rendition that its line takes."""
        estimate = session.estimate
        stream = self._context.streams.get(session.stream_id)
        if estimate is None or stream is None or not session.is_connected:
            return
        rendition = stream.renditions.get(estimate.rendition)
        if rendition is not None:
            session.viewer.prefer(self.channels.get(rendition))

    def _on_sound(self, stream_id: StreamId, config: Config, tags: Sequence[Tag]) -> None:
        sound = self._sounds.get(stream_id)
        if sound is None:

            def on_frame(history: History, frame: Frame) -> None:
                for session in self.sessions.of_stream(stream_id):
                    session.viewer.on_sound(history, frame)

            sound = self._sounds[stream_id] = Sound(stream_id, on_frame, self._context.sounds())
        sound.take(config, tags)

    def _on_end(self, session: Session, reason: str) -> None:
        session.on_end(reason)
        channel = session.viewer.channel
        if channel is not None:
            channel.rendition.sent_bytes += session.octets

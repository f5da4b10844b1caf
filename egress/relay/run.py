"""The `relay` child's shell (IO): an egress that is no home, and what other hosts have.

Its death costs other hosts' viewers a gap, and those of other hosts' streams here one: nothing that
is made and played on this host.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from common.config.settings import Settings
from common.errors import EnvelopeError
from common.ipc.child import ChildProcess
from common.ipc.cluster_messages import HostReachWanted, OwnerWanted, StreamOwner
from common.ipc.control_messages import EgressRoutes, Endpoint, Heartbeat, Hello
from common.ipc.egresses import Egresses
from common.ipc.envelope import decode_frames
from common.ipc.forward_messages import ForwardAsk
from common.ipc.identity import StreamId
from common.ipc.media_listener import Sender
from common.ipc.relay_messages import RemotePlay, RemotePlayEnd
from common.ipc.tag_link import TagLink
from common.ipc.unit_link import UnitLinks
from common.ipc.unit_messages import PublishOver, Units
from common.link.messages import VERSION, LinkGreeting
from common.process.certificate import Certificate
from common.process.certificate_files import mutual_contexts
from common.process.listening import join_address
from egress.output import OutputContext
from egress.relay.connections import LinkClient, LinkServer
from egress.relay.forwards import Forwards
from egress.relay.output import RelayOutput
from egress.relay.publishers import Publishers
from egress.relay.pulls import Pulls
from egress.relay.reach import HostReaches
from egress.relay.still import STEP_MS
from egress.run import EgressServer

log = logging.getLogger("tfarm.egress.relay.run")

CHECK_S = 1.0
STOP_S = 0.1  # for the other hosts to hear of it


class RelayService:
    """A `ChildService`."""

    def __init__(
        self,
        process: ChildProcess,
        listeners: Sequence[socket.socket],
        certificate: Path,
        key: Path,
        trusted: Path,
    ) -> None:
        """`listeners`: where other hosts connect. Raises BootFailed: no use of the certificates."""
        self._process = process
        self._certificate = Certificate(
            certificate, key, trusted, make=lambda: mutual_contexts(certificate, key, trusted)
        )
        self._egress = EgressServer(process, (self._output,), is_home=False)
        (output,) = self._egress.outputs
        assert isinstance(output, RelayOutput)
        self._served = output
        self._egresses = Egresses(lambda: self._pulls.outputs(), self._tag_link)
        self._pulls = Pulls(process.child, self._egresses, self._ask)
        self._listen = tuple(join_address(*sock.getsockname()[:2]) for sock in listeners)
        self._share = process.share_listeners(listeners)
        self._server = LinkServer(listeners, lambda: self._certificate.contexts[0], output)
        self._client = LinkClient(self._pulls, lambda: self._certificate.contexts[1])
        later = asyncio.get_running_loop().call_later
        self._pulls.later = lambda seconds, what: later(seconds, lambda: what(time.monotonic()))
        self._forwards = Forwards(self._pulls, time.monotonic, later)
        self._served.played, self._pulls.branches = self._pulls, self._served
        self._pulls.on_forwarded = self._forwards.on_event
        self._unit_links = UnitLinks(process.bus, is_plain=True)
        self._publishers = Publishers(self._unit_links, time.monotonic)
        self._server.publishers = self._publishers
        self._forward_listener = process.listener("forward", self._on_forward_frames)
        self._reaches = HostReaches(
            self._client.sending, lambda: self._certificate.contexts[1], process.send
        )
        self._is_welcome = False
        process.is_idle = lambda: False
        process.retires(self._server.retire, self._is_empty)

    def hello(self) -> Hello:
        forward = self._forward_listener.address
        return self._process.new_hello(
            replace(self._egress.endpoint, forward=forward, listeners=self._share),
            served=self._egress.hello().served,
            listen=self._listen,
            pulled=self._pulled(),
        )

    def heartbeat(self) -> Heartbeat:
        beat = replace(self._egress.heartbeat(), pulled=self._pulled())
        beat.counters.update(self._pulls.counters)
        beat.counters.update(self._server.counters)
        beat.counters["relay not sent"] = self._egresses.dropped
        beat.counters.update(self._forwards.counters)
        beat.counters.update(self._publishers.counters)
        return beat

    def configure(self, settings: Settings) -> None:
        self._egress.configure(settings)
        cluster = settings.cluster
        boot = self._process.boot_id
        self._own = LinkGreeting(VERSION, cluster.name, cluster.host, boot, cluster.relay_shown)
        self._pulls.configure(self._own, cluster.keep_s)
        if self._is_welcome:  # not at the start, when they were read a moment ago
            self._certificate.load()

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None:
        self._egress.on_topology(endpoints)
        others = [end for end in endpoints if end.child != self._process.child]
        self._egresses.update(others)
        self._unit_links.follow(others)
        self._forwards.follow({end.pid for end in others})

    def on_welcome(self) -> None:
        self._egress.on_welcome()
        self._pulls.on_supervisor(time.monotonic())
        if not self._is_welcome:
            self._is_welcome = True
            self._server.start(self._own)

    def on_message(self, message: Any, payloads: Sequence[bytes]) -> None:
        now = time.monotonic()
        match message:
            case RemotePlay():
                self._pulls.on_play(message, now)
                self._client.follow()
            case RemotePlayEnd():
                self._pulls.on_play_end(message, now)
            case StreamOwner():
                self._served.on_owner(message)
                self._pulls.on_owner(message, now)
                self._client.follow()
            case HostReachWanted():
                self._reaches.want(message)
            case EgressRoutes():
                self._egresses.route(message)
            case _:
                self._egress.on_message(message, payloads)

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        return (*self._egress.tasks(), self._check(), self._show_stills())

    async def end(self) -> None:
        await self._egress.end()
        self._server.stop()
        await self._client.stop()
        await asyncio.sleep(STOP_S)

    def close(self) -> None:
        self._reaches.close()
        self._client.close()
        self._server.close()
        self._unit_links.close()
        self._egresses.close()
        self._egress.close()

    # ---- inside -------------------------------------------------------------------------------

    def _pulled(self) -> tuple[StreamId, ...]:
        """What goes on here though there is a successor; (): there is none."""
        return self._pulls.open_streams if self._process.is_retiring else ()

    def _is_empty(self) -> bool:
        """Tell if nobody would lose by the end of this process."""
        return not (self._pulls.open_streams or len(self._forwards) or self._server.is_in_use)

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(CHECK_S)
            now = time.monotonic()
            self._pulls.tick(now)
            self._reaches.check(now)
            self._client.follow()
            self._server.check(now)
            self._certificate.check(time.time())

    async def _show_stills(self) -> None:
        while True:
            is_needed = self._pulls.show_stills(time.monotonic())
            await asyncio.sleep(STEP_MS / 2000 if is_needed else CHECK_S)

    def _on_forward_frames(self, frames: list[bytes], sender: Sender) -> None:
        """An ingest says something of a publisher whose stream another host has."""
        try:
            message, payloads = decode_frames(frames)
        except EnvelopeError as error:
            log.warning("unreadable message on a media link error=%s", error)
            return
        match message:
            case Units():
                self._forwards.on_units(sender, message, payloads)
            case ForwardAsk():
                self._forwards.on_ask(sender, message, payloads)
                self._client.follow()
            case PublishOver():
                self._forwards.on_over(sender, message)

    def _output(self, context: OutputContext) -> RelayOutput:
        return RelayOutput(context, self._ask)

    def _ask(self, wanted: OwnerWanted) -> None:
        self._process.send(wanted)

    def _tag_link(self, address: str, *, is_plain: bool) -> TagLink:
        return TagLink(self._process.bus, address, on_demand=self._on_demand, is_plain=True)

    def _on_demand(self, stream_id: StreamId) -> None:
        self._pulls.on_demand(stream_id, time.monotonic())

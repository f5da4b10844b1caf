"""What viewers ask for by WHEP (IO: it waits): admitted, answered, or refused in words.

The offer is read before anything else, since that costs the least; then the viewer is admitted by
the same rules as players of every protocol, and last its rendition is looked at: by WebRTC not
every stream can be sent.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

from common.access.peer_address import host_of, subscriber
from common.access.refusal import Refusal, RefusalReason
from common.config.ladder import SOURCE, Template
from common.config.settings import Settings
from common.errors import OfferUnfit, SdpError
from common.ipc.identity import StreamId, split_stream_id
from common.ipc.whep_messages import WhepAnswer, WhepEnd, WhepOffer
from common.process.log import PeerLines, more, stream_label
from egress.access import Wish
from egress.output import OutputContext
from egress.rtc import answer, offer
from egress.rtc.addresses import candidate_addresses
from egress.rtc.admission import Admission, Admitted, NotAdmitted, Places
from egress.rtc.channel import Channels
from egress.rtc.estimate import Estimate, Step
from egress.rtc.session import Session
from egress.rtc.sessions import Sessions
from egress.streams.stream import Stream
from egress.streams.subscribers import Start

log = logging.getLogger("tfarm.egress.rtc.requests")

PROTOCOL: Final = "webrtc"
MAX_CONNECTING: Final = 200  # sessions whose viewers have not connected yet
PICTURES: Final = 4  # of a source, that show whether it has B-frames
PICTURES_S: Final = 1.0  # to wait for them
LOOK_S: Final = 0.05
NOT_ACCEPTABLE, BAD_REQUEST, CREATED, NOT_FOUND = 406, 400, 201, 404


class WhepRequests:
    """Those of all viewers."""

    def __init__(self, context: OutputContext, sessions: Sessions, channels: Channels) -> None:
        self.is_stopping = False
        self._context = context
        self._sessions = sessions
        self._channels = channels
        self._settings = Settings()
        self._lines = PeerLines()
        self._admission = Admission(
            context,
            PROTOCOL,
            Places(
                here=lambda: len(sessions),
                most=lambda settings: settings.webrtc.max_viewers,
                key="webrtc.max_viewers",
                of_stream=lambda stream: sum(one == stream for one in self._streams()),
                of_app=lambda app: sum(split_stream_id(one)[0] == app for one in self._streams()),
                is_stopping=lambda: self.is_stopping,
            ),
        )

    def configure(self, settings: Settings) -> None:
        """Use other settings from now on."""
        self._settings = settings
        self._admission.configure(settings)

    async def answer(self, request: WhepOffer | WhepEnd) -> WhepAnswer:
        """Do what is asked."""
        if isinstance(request, WhepEnd):
            return self._end(request)
        try:
            return await self._begin(request)
        except OfferUnfit as error:
            return WhepAnswer(NOT_ACCEPTABLE, str(error))
        except SdpError as error:
            return WhepAnswer(BAD_REQUEST, str(error))
        except NotAdmitted as error:
            refusal = error.refusal
            self._log_refused(request, refusal)
            return WhepAnswer(0, refusal.words, reason=refusal.reason.value)

    def _end(self, request: WhepEnd) -> WhepAnswer:
        session = self._sessions.named(request.session)
        if session is None:
            return WhepAnswer(NOT_FOUND, "there is no such session: it has ended")
        session.end("it has left")
        return WhepAnswer(200, "")

    async def _begin(self, request: WhepOffer) -> WhepAnswer:
        read = offer.parse(request.offer)
        answer.choose(read)  # before anything is waited for
        if self._sessions.port is None:
            raise NotAdmitted(_unavailable("the UDP port of WebRTC is not there (webrtc.listen)"))
        if self._sessions.connecting >= MAX_CONNECTING:
            raise NotAdmitted(_unavailable("too many viewers connect just now: try again"))
        holder = object()
        wish = self._wish(request)
        admitted = await self._admission.admit(
            holder, wish, request.address, lambda name, stream: self._choose(request, name, stream)
        )
        try:
            session = await self._session(request, read, admitted)
        except BaseException:
            self._admission.release(holder)
            raise
        session.holder = holder
        self._context.by_address.here.add(host_of(session.address))
        self._sessions.add(session)
        self._context.hooks.begin(
            holder, admitted.stream.stream_id, session.viewer.rendition, session.address, 0
        )
        return self._created(request, read, session)

    def _created(self, request: WhepOffer, read: offer.Offer, session: Session) -> WhepAnswer:
        port = self._sessions.port
        bound = port.address if port is not None else ("", 0)
        addresses = candidate_addresses(self._settings.webrtc.addresses, bound, request.server_host)
        chosen = answer.choose(
            read, session.viewer.channel.profile if session.viewer.channel else ""
        )
        if (held := self._may_log(request)) is not None:
            log.info(
                "viewer open stream=%s rendition=%s address=%s%s",
                stream_label(session.stream_id),
                session.viewer.rendition,
                request.address,
                more(held),
            )
        text = answer.write(read, chosen, session.ours(addresses))
        return WhepAnswer(CREATED, text, session.name)

    def _wish(self, request: WhepOffer) -> Wish:
        """What is asked for; of who names no rendition the one that it would begin with."""
        rendition = request.rendition
        if not rendition:
            template = self._settings.template(request.app)
            rendition = _first_of(_steps(template)) if template is not None else ""
        return Wish(request.app, request.key, rendition, dict(request.query))

    def _choose(self, request: WhepOffer, name: str, stream: Stream) -> str:
        if request.rendition:
            return name
        steps = steps_of(stream)
        return _first_of(steps) if steps else SOURCE

    async def _session(self, request: WhepOffer, read: offer.Offer, admitted: Admitted) -> Session:
        """The session, whose viewer takes its rendition already. Raises NotAdmitted."""
        channel = self._channels.get(admitted.rendition)
        session = Session(
            read,
            answer.choose(read, channel.profile),
            self._sessions.certificate,
            self._sessions,
            request.address,
            is_live_start=admitted.wanted.start is Start.LIVE,
            is_careful=not request.rendition,
        )
        session.stream_id = admitted.stream.stream_id
        viewer = session.viewer
        viewer.watch(channel)
        try:
            until_s = self._context.clock() + PICTURES_S
            is_source = admitted.rendition.name == SOURCE
            while is_source and not channel.problem and len(channel.history) < PICTURES:
                if self._context.clock() >= until_s:
                    break
                await asyncio.sleep(LOOK_S)
            problem = channel.problem or viewer.ended
            if problem:
                words = f"{admitted.rendition.name} cannot be sent by WebRTC: {problem}"
                raise NotAdmitted(Refusal(RefusalReason.UNSUPPORTED, words))
        except BaseException:
            viewer.leave()
            raise
        steps = steps_of(admitted.stream)
        if not request.rendition and steps:
            session.estimate = Estimate(steps, self._context.clock())
        return session

    def _streams(self) -> list[StreamId]:
        return [session.stream_id for session in self._sessions]

    def _may_log(self, request: WhepOffer) -> int | None:
        return self._lines.allow(subscriber(host_of(request.address)), time.monotonic())

    def _log_refused(self, request: WhepOffer, refusal: Refusal) -> None:
        if (held := self._may_log(request)) is not None:
            log.info(
                "viewer refused address=%s reason=%s%s",
                request.address,
                refusal.for_log,
                more(held),
            )


def steps_of(stream: Stream) -> list[Step]:
    """The renditions that a line may choose between: those that are made, on one grid."""
    return [step for step in _steps(stream.template) if step.name in stream.transcoded]


def _steps(template: Template) -> list[Step]:
    return [Step(one.name, one.bitrate_bps) for one in template.renditions]


def _first_of(steps: Sequence[Step]) -> str:
    return Estimate(steps, 0.0).rendition if steps else ""


def _unavailable(words: str) -> Refusal:
    return Refusal(RefusalReason.UNAVAILABLE, words)

"""What viewers ask for by WHEP (IO: it waits): admitted, answered, or refused in words.

The offer is read before anything else, since that costs the least; then the viewer is admitted by
the same rules as players of every protocol, and last its rendition is looked at: by WebRTC not
every stream can be sent.
"""

import asyncio
import logging
import time
from typing import Final

from common.access.peer_address import Networks, host_of, subscriber
from common.access.refusal import Refusal, RefusalReason
from common.config.ladder import SOURCE, Template
from common.config.settings import Settings
from common.errors import OfferUnfit, SdpError
from common.ipc.identity import stream_id
from common.ipc.whep_messages import WhepAnswer, WhepEnd, WhepOffer, WhipOffer
from common.process.log import PeerLines, more
from common.webrtc import offer
from common.webrtc.addresses import candidate_addresses
from egress.access import Wish
from egress.admission import Admitted, NotAdmitted, SessionAsker
from egress.entrance import Entrance
from egress.output import OutputContext
from egress.rtc import answer
from egress.rtc.channel import Channels
from egress.rtc.estimate import Estimate, Step
from egress.rtc.session import Session
from egress.rtc.sessions import Sessions
from egress.streams.stream import Stream
from egress.streams.subscribers import Start

log = logging.getLogger("tfarm.egress.rtc.requests")

PROTOCOL: Final = "webrtc"
PICTURES: Final = 4  # of a source, that show whether it has B-frames
PICTURES_S: Final = 1.0  # to wait for them
LOOK_S: Final = 0.05
NOT_ACCEPTABLE, BAD_REQUEST, CREATED, NOT_FOUND = 406, 400, 201, 404


class WhepRequests:
    """Those of all viewers."""

    def __init__(self, context: OutputContext, sessions: Sessions, channels: Channels) -> None:
        self._context = context
        self._sessions = sessions
        self._channels = channels
        self._settings = Settings()
        self._lines = PeerLines()
        self.entrance = Entrance(context, time.time, lambda settings: settings.webrtc.max_viewers)

    def configure(self, settings: Settings) -> None:
        """Use other settings from now on."""
        self._settings = settings
        self.entrance.configure(settings)

    async def answer(self, request: WhepOffer | WhipOffer | WhepEnd) -> WhepAnswer:
        """Do what is asked."""
        if isinstance(request, WhepEnd):
            return self._end(request)
        if not isinstance(request, WhepOffer):
            return WhepAnswer(NOT_FOUND, "nobody publishes here")
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
        answer.check(read)  # before anything is waited for
        if not await self._sessions.has_port():
            raise NotAdmitted(_unavailable("the UDP port of WebRTC is not there (webrtc.listen)"))
        if not self._sessions.may_connect(host_of(request.address), self._exempt()):
            raise NotAdmitted(_unavailable("too many viewers connect just now: try again"))
        wish = self._wish(request)
        try:
            session = await self._let_in(request, read, wish)
        except NotAdmitted:
            # Of a stream that nobody watched here the template was known alone: a small source has
            # fewer renditions than it names.
            better = self._wish(request)
            if better == wish:
                raise
            session = await self._let_in(request, read, better)
        return self._created(request, read, session)

    async def _let_in(self, request: WhepOffer, read: offer.Offer, wish: Wish) -> Session:
        """The session of a viewer who may watch that. Raises NotAdmitted."""
        asker = SessionAsker(self.entrance, request.address, PROTOCOL)
        try:
            admitted = await asker.admit(wish)
            session = await self._session(request, read, admitted)
        except BaseException:
            asker.leave("it was not let in")
            raise
        asker.octets, asker.on_finish = lambda: session.octets, session.end
        session.on_end = asker.leave
        self._sessions.make_room(asker.host, self._exempt())
        self._sessions.add(session)
        return session

    def _exempt(self) -> Networks:
        return Networks(self._settings.ingest.exempt_networks)

    def _created(self, request: WhepOffer, read: offer.Offer, session: Session) -> WhepAnswer:
        port = self._sessions.port
        bound = port.address if port is not None else ("", 0)
        addresses = candidate_addresses(self._settings.webrtc.addresses, bound, request.server_host)
        channel = session.viewer.channel
        known = (channel.profile, channel.codec) if channel is not None else ()
        chosen = answer.choose(read, *known)
        text = answer.write(read, chosen, session.ours(addresses))
        return WhepAnswer(CREATED, text, session.name)

    def _wish(self, request: WhepOffer) -> Wish:
        """What is asked for; of who names no rendition the one that it would begin with."""
        rendition, template = request.rendition, self._settings.template(request.app)
        if not rendition and template is not None:
            stream = self._context.streams.get(stream_id(request.app, request.key))
            steps = steps_of(stream) if stream is not None else _steps(template)
            rendition = Estimate(steps, 0.0).rendition if steps else SOURCE
        return Wish(request.app, request.key, rendition, request.query)

    async def _session(self, request: WhepOffer, read: offer.Offer, admitted: Admitted) -> Session:
        """The session, whose viewer takes its rendition already. Raises NotAdmitted."""
        if admitted.rendition.is_sound_alone:
            words = f"{admitted.rendition.name} has the sound alone, which WebRTC is not sent here"
            raise NotAdmitted(Refusal(RefusalReason.UNSUPPORTED, words))
        channel = self._channels.get(admitted.rendition)
        session = Session(
            read,
            answer.choose(read, channel.profile, channel.codec),
            self._sessions.certificate,
            self._sessions,
            request.address,
            is_live_start=admitted.start is Start.LIVE,
            is_careful=not request.rendition,
        )
        session.stream_id = admitted.rendition.stream_id
        stream = self._context.streams.get(session.stream_id)
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
                others = [] if stream is None else [step.name for step in steps_of(stream)]
                if others:
                    words += f" ({', '.join(others)})"
                raise NotAdmitted(Refusal(RefusalReason.UNSUPPORTED, words))
        except BaseException:
            viewer.leave()
            raise
        steps = steps_of(stream) if stream is not None else []
        if not request.rendition and steps:
            session.estimate = Estimate(steps, self._context.clock())
        return session

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
    """The renditions that a line may choose between: of H.264, those that are made, on one grid."""
    return [step for step in _steps(stream.template) if step.name in stream.transcoded]


def _steps(template: Template) -> list[Step]:
    return [Step(one.name, one.bitrate_bps) for one in template.plain_renditions]


def _unavailable(words: str) -> Refusal:
    return Refusal(RefusalReason.UNAVAILABLE, words)

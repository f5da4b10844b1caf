"""What publishers ask for by WHIP (IO: it waits): admitted by an ingest, answered, or refused.

The offer is read before anything else, since that costs the least; then an ingest judges, by the
same rules as publishers of every protocol.
"""

import logging
import time
from typing import Final

from common.access.peer_address import Networks, host_of, subscriber
from common.access.refusal import Cause, Refusal, RefusalReason
from common.config.settings import Settings
from common.errors import OfferUnfit, SdpError
from common.ipc.unit_ways import Ways
from common.ipc.whep_messages import WhepAnswer, WhepEnd, WhepOffer, WhipOffer
from common.process.log import PeerLines, more
from common.webrtc import offer
from common.webrtc.addresses import candidate_addresses
from ingest.whip import answer
from ingest.whip.publisher import Publisher
from ingest.whip.session import Session
from ingest.whip.sessions import Sessions

log = logging.getLogger("tfarm.ingest.whip.requests")

MAX_PUBLISHERS: Final = 2000
MAX_ASKING: Final = 400  # who wait for an ingest's answer
NOT_ACCEPTABLE, BAD_REQUEST, CREATED, NOT_FOUND, UNAVAILABLE = 406, 400, 201, 404, 503
# Where HTTP can say it better than by the reason.
_BY_CAUSE: Final = {Cause.NO_APP: NOT_FOUND, Cause.HOOK_FAILED: UNAVAILABLE}
DEFAULT_GOP_S: Final = 2.0  # of an app that is none: it is refused anyway
LEAVING: Final = "this process takes no new publishers: try again"
NO_PORT: Final = "the UDP port of WHIP is not there (listen.whip)"
TOO_MANY: Final = "too many publishers connect just now: try again"


class WhipRequests:
    """Those of all publishers."""

    def __init__(self, sessions: Sessions, links: Ways) -> None:
        self.is_leaving = False
        self._sessions, self._links = sessions, links
        self._settings = Settings()
        self._publishers: set[Publisher] = set()
        self._asking = 0
        self._lines = PeerLines()

    def configure(self, settings: Settings) -> None:
        """Use other settings from now on."""
        self._settings = settings

    def look(self, now: float) -> None:
        """See to those whose ingest has gone; once a second."""
        for publisher in tuple(self._publishers):
            publisher.look(now)

    async def answer(self, request: WhepOffer | WhipOffer | WhepEnd) -> WhepAnswer:
        """Do what is asked."""
        if isinstance(request, WhepEnd):
            return self._end(request)
        if not isinstance(request, WhipOffer):
            return WhepAnswer(NOT_FOUND, "nobody watches here")
        try:
            return await self._begin(request)
        except OfferUnfit as error:
            return WhepAnswer(NOT_ACCEPTABLE, str(error))
        except SdpError as error:
            return WhepAnswer(BAD_REQUEST, str(error))

    def _end(self, request: WhepEnd) -> WhepAnswer:
        session = self._sessions.named(request.session)
        if session is None:
            return WhepAnswer(NOT_FOUND, "there is no such session: it has ended")
        for publisher in tuple(self._publishers):
            if publisher.session is session:
                publisher.leave("the publisher has stopped", is_meant=True)
        session.end("it has stopped")
        return WhepAnswer(200, "")

    async def _begin(self, request: WhipOffer) -> WhepAnswer:
        read = offer.parse(request.offer)
        chosen = answer.choose(read)
        host, exempt = host_of(request.address), self._exempt()
        if self.is_leaving:
            return self._refused(request, Refusal(RefusalReason.UNAVAILABLE, LEAVING))
        if not await self._sessions.has_port():
            return self._refused(request, Refusal(RefusalReason.UNAVAILABLE, NO_PORT))
        is_full = len(self._publishers) >= MAX_PUBLISHERS or self._asking >= MAX_ASKING
        if is_full or not self._sessions.may_connect(host, exempt):
            return self._refused(request, Refusal(RefusalReason.UNAVAILABLE, TOO_MANY))
        publisher = Publisher(request, self._links)
        self._asking += 1
        try:
            refusal = await publisher.admitted()
        finally:
            self._asking -= 1
        if refusal is not None:
            return self._refused(request, refusal)
        template = self._settings.template(request.app)
        gop_s = template.gop_ms / 1000 if template is not None else DEFAULT_GOP_S
        session = Session(
            read, chosen, self._sessions.certificate, self._sessions, request.address, gop_s
        )
        self._publishers.add(publisher)
        publisher.on_over = lambda: self._publishers.discard(publisher)
        publisher.connect(session)
        self._sessions.make_room(host, exempt)
        self._sessions.add(session)
        port = self._sessions.port
        bound = port.address if port is not None else ("", 0)
        addresses = candidate_addresses(self._settings.webrtc.addresses, bound, request.server_host)
        text = answer.write(read, chosen, session.end_of(addresses))
        return WhepAnswer(CREATED, text, session.name)

    def _exempt(self) -> Networks:
        return Networks(self._settings.ingest.exempt_networks)

    def _refused(self, request: WhipOffer, refusal: Refusal) -> WhepAnswer:
        who = subscriber(host_of(request.address))
        if (held := self._lines.allow(who, time.monotonic())) is not None:
            words = "publisher by WHIP refused peer=%s reason=%s%s"
            log.info(words, request.address, refusal.for_log, more(held))
        if status := _BY_CAUSE.get(refusal.cause):
            return WhepAnswer(status, refusal.words)
        return WhepAnswer(0, refusal.words, reason=refusal.reason.value)

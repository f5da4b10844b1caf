"""Live streams for viewers: who is let in goes to the egress that has the stream."""

from collections.abc import Sequence

from aiohttp import web

from api.operations import ApiError
from common.http.handover import NO_EGRESS, NotHandedOver, ViewerHandover
from common.ipc.api_messages import WatchRequest
from common.ipc.control_messages import Endpoint


class LiveStreams:
    """The egresses, and who is handed over to them."""

    def __init__(self) -> None:
        self._handover = ViewerHandover("viewers")

    def follow(self, endpoints: Sequence[Endpoint]) -> None:
        """These children run."""
        self._handover.follow(endpoints)

    async def hand_over(self, request: web.Request, wanted: WatchRequest) -> web.StreamResponse:
        """Let the stream's egress answer. Raises ApiError where it does not."""
        try:
            return await self._handover.hand_over(request, wanted.stream_id, wanted)
        except NotHandedOver as error:
            code = "no-egress" if str(error) == NO_EGRESS else "not-sent"
            raise ApiError(503, code, str(error)) from None

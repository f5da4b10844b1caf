"""Whether another publisher would be let in just now. Pure; nothing here changes.

A load balancer asks for it (`/readyz`), so it is asked of a publisher of whom nothing is known yet,
in each app: one that has room for it is enough. Who publishes already loses nothing by the answer.
"""

from common.ipc.identity import stream_id
from supervisor.farm.state import FarmState
from supervisor.farm.stream import NO_INGEST, Present, Stream
from supervisor.placement.fleet import NoRoom, place


def why_no_room(state: FarmState, now: float) -> str:
    """Why no app has room for a publisher; "" where one has."""
    if not state.of_kind("ingest"):
        return "no ingest is up"
    why = ""
    for template in state.settings.templates:
        newcomer = Stream(stream_id(template.name, ""), template, Present(NO_INGEST), "", now)
        room = place(state.fleet, state.need(newcomer))
        if not isinstance(room, NoRoom):
            return ""
        why = why or room.reason
    return why

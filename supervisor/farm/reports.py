"""What children report of streams, taken over where it is theirs to report. Pure.

A child reports of its own streams, and what its kind knows: nobody else's word counts.
"""

from common.ipc.control_messages import Heartbeat
from common.ipc.identity import ChildId
from common.ipc.kinds import has_viewers
from supervisor.farm.state import FarmState


def take_over(state: FarmState, child: ChildId, beat: Heartbeat, now: float) -> None:
    """Take over a heartbeat of a child that is up."""
    known = state.children[child]
    known.heartbeat = beat
    if beat.delays:
        known.delays = beat.delays
    if has_viewers(child.kind):
        state.refusals.merge(beat.refusals)
        for served in beat.served:
            state.update_served(child, served)
        state.summaries.observe(child, (), (), beat.served, now)
        state.summaries.on_served_last(child, beat)
    match child.kind:
        case "worker":
            for transcode in beat.transcodes:
                state.update_transcode(child, transcode, now)
            state.summaries.observe(child, (), beat.transcodes, (), now)
        case "ingest":
            state.refusals.merge(beat.refusals)
            for publisher in beat.publishers:
                state.update_publisher(child, publisher, now)
            state.summaries.observe(child, beat.publishers, (), (), now)
        case _:
            pass

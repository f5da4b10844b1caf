"""The players of an egress by name, for the API. Pure.

An id is of this incarnation alone: nobody is ended by the id of another one, who is long gone.
"""

from collections.abc import Sequence

from common.ipc.api_messages import MAX_PLAYERS, PlayerList, PlayerStatus, PlayersWanted
from common.ipc.control_messages import Endpoint
from egress.output import Output, ViewerStatus


def player_list(
    wanted: PlayersWanted, here: Endpoint, outputs: Sequence[Output], reason: str
) -> PlayerList:
    """Name the players that are wanted; end one, if that is, with a reason."""
    found = []
    for index, output in enumerate(outputs):
        for viewer in output.viewers():
            status = _status(f"{here.child.index}-{here.boot_id[:8]}-{index}", viewer)
            if wanted.ends:
                if status.id == wanted.ends:
                    output.end_viewer(viewer.number, reason)
                    found.append(status)
            elif wanted.stream_id in ("", viewer.stream_id):
                found.append(status)
    listed = tuple(found[:MAX_PLAYERS])
    return PlayerList(wanted.request_id, wanted.asker, here.child, listed, len(found))


def _status(prefix: str, viewer: ViewerStatus) -> PlayerStatus:
    return PlayerStatus(
        f"{prefix}-{viewer.number}",
        viewer.stream_id,
        viewer.rendition,
        viewer.protocol,
        viewer.address,
        round(viewer.seconds, 1),
        viewer.dropped,
    )

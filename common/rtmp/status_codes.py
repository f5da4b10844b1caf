"""The codes by which RTMP tells a client why it is refused. Pure.

What clients show of them, and when they read them, is in docs/rtmp.md, Refusals. RTMP has no code
for most reasons: those here are the ones that known clients understand.
"""

from common.access.refusal import RefusalReason

NO_APP = "NetConnection.Connect.InvalidApp"
REJECTED = "NetConnection.Connect.Rejected"
PUBLISH_DONE = "NetStream.Unpublish.Success"  # the stream of this publisher ends in order
TOO_LATE = "NetConnection.Connect.Closed"  # nothing was asked for in time

_PUBLISH = {
    RefusalReason.NOT_FOUND: "NetStream.Publish.BadName",
    RefusalReason.NAME_IN_USE: "NetStream.Publish.BadName",
    RefusalReason.DENIED: "NetStream.Publish.Denied",
    RefusalReason.FULL: "NetStream.Failed",
    RefusalReason.UNAVAILABLE: "NetStream.Failed",
    RefusalReason.UNSUPPORTED: "NetStream.Publish.Rejected",
    RefusalReason.IDLE: "NetStream.Publish.Idle",
    RefusalReason.FAILED: "NetStream.Publish.Failed",
    RefusalReason.KICKED: "NetStream.Publish.Failed",
    RefusalReason.BANNED: "NetStream.Publish.Denied",
}


def publish_code(reason: RefusalReason) -> str:
    """The code for a publisher that is refused, before or after Publish.Start."""
    return _PUBLISH[reason]


def play_code(reason: RefusalReason) -> str:
    """The code for a player that is refused."""
    if reason is RefusalReason.NOT_FOUND:
        return "NetStream.Play.StreamNotFound"
    return "NetStream.Play.Failed"

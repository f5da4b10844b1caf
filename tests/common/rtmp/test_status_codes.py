"""common/rtmp/status_codes.py: what RTMP clients are told."""

import pytest

from common.access.refusal import RefusalReason
from common.rtmp.status_codes import play_code, publish_code

CODES = [
    (RefusalReason.NOT_FOUND, "NetStream.Publish.BadName", "NetStream.Play.StreamNotFound"),
    (RefusalReason.NAME_IN_USE, "NetStream.Publish.BadName", "NetStream.Play.Failed"),
    (RefusalReason.DENIED, "NetStream.Publish.Denied", "NetStream.Play.Failed"),
    (RefusalReason.FULL, "NetStream.Failed", "NetStream.Play.Failed"),
    (RefusalReason.UNAVAILABLE, "NetStream.Failed", "NetStream.Play.Failed"),
    (RefusalReason.UNSUPPORTED, "NetStream.Publish.Rejected", "NetStream.Play.Failed"),
    (RefusalReason.IDLE, "NetStream.Publish.Idle", "NetStream.Play.Failed"),
    (RefusalReason.FAILED, "NetStream.Publish.Failed", "NetStream.Play.Failed"),
    (RefusalReason.KICKED, "NetStream.Publish.Failed", "NetStream.Play.Failed"),
    (RefusalReason.BANNED, "NetStream.Publish.Denied", "NetStream.Play.Failed"),
]


@pytest.mark.parametrize(("reason", "publish", "play"), CODES)
def test_a_reason_has_a_code_for_publishers_and_one_for_players(
    reason: RefusalReason, publish: str, play: str
) -> None:
    assert publish_code(reason) == publish
    assert play_code(reason) == play


def test_every_reason_is_in_the_table() -> None:
    assert [reason for reason, _, _ in CODES] == list(RefusalReason)

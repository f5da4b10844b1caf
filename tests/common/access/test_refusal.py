"""What peers are told of a refusal, and what only the operator is."""

from common.access.refusal import Refusal, RefusalReason


def test_the_log_has_the_detail_that_no_peer_is_told() -> None:
    refusal = Refusal(RefusalReason.FULL, "the farm is full", detail="needs 155 of 150 units")
    assert refusal.for_log == "the farm is full (needs 155 of 150 units)"
    assert Refusal(RefusalReason.FULL, "the farm is full").for_log == "the farm is full"

"""cluster/claims.py: what becomes of a farm's claims."""

from cluster.claims import Claims, ClaimState
from common.ipc.identity import StreamId

A, B = StreamId("live/a"), StreamId("live/b")


def test_who_is_waited_for_is_claimed_first() -> None:
    claims = Claims()
    claims.add(A, "a", 0)
    claims.add(B, "b", 1)
    assert [claim.digest for claim in claims.due(0.0, 9)] == ["b", "a"]
    assert [claim.digest for claim in claims.due(0.0, 1)] == ["b"]
    assert claims.due(0.0, 0) == []
    claims.add(A, "a", 2)
    assert [claim.digest for claim in claims.due(0.0, 9)] == ["b", "a"]


def test_a_claim_that_failed_waits_for_its_time_unless_somebody_asks() -> None:
    claims = Claims()
    claim = claims.add(A, "a", 0)
    claims.begin(claim)
    claims.lose(claim, retry_s=5.0)
    assert claims.due(4.0, 9) == []
    assert claims.due(5.0, 9) == [claim]
    claims.add(A, "a", 1)
    assert claims.due(0.0, 9) == [claim]


def test_the_end_of_a_stream_deletes_its_key_before_it_can_be_claimed_again() -> None:
    claims = Claims()
    claims.own(claims.add(A, "a", 0), 7, 17)
    claims.remove("a")
    assert claims.releases == {"a": 7}
    again = claims.add(A, "a", 0)
    assert claims.due(0.0, 9) == []
    claims.releases.clear()
    assert claims.due(0.0, 9) == [again]


def test_a_stream_that_ends_while_it_is_claimed_is_noted() -> None:
    claims = Claims()
    claims.begin(claims.add(A, "a", 0))
    claims.remove("a")
    assert claims.released == {"a"}
    claims.add(A, "a", 0)
    assert claims.released == set()


def test_what_is_lost_with_the_lease_keeps_its_epoch_until_the_next() -> None:
    claims = Claims()
    claim = claims.add(A, "a", 0)
    claims.own(claim, 7, 17)
    claims.lose_all()
    assert (claim.state, claim.epoch) == (ClaimState.UNREGISTERED, 17)


def test_claims_are_counted_by_what_they_are() -> None:
    claims = Claims()
    claims.own(claims.add(A, "a", 0), 7, 17)
    claims.leave(claims.add(B, "b", 0))
    claims.begin(claims.add(StreamId("live/c"), "c", 0))
    assert claims.counts() == (1, 1, 1)
    assert [claim.digest for claim in claims.elsewhere()] == ["b"]

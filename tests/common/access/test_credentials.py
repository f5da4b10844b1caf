"""Who may go on with what another publishes, or has published."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.access.credentials import UNTOLD, Credentials, credentials, may_succeed, not_its_own
from common.access.keys import OPEN, OWN
from common.access.refusal import RefusalReason

V4, OTHER_V4 = "192.0.2.1", "192.0.2.2"
V6, SAME_64, OTHER_64 = "2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::1"


@pytest.mark.parametrize(
    ("owner", "newcomer", "may"),
    [
        # no key is asked for: the address tells
        ((V4, OPEN), (V4, OPEN), True),
        ((V4, OPEN), (OTHER_V4, OPEN), False),
        ((V6, OPEN), (SAME_64, OPEN), True),
        ((V6, OPEN), (OTHER_64, OPEN), False),
        ((f"::ffff:{V4}", OPEN), (V4, OPEN), True),
        # with keys the key tells, wherever it comes from
        ((V4, "a"), (OTHER_V4, "a"), True),
        ((V4, "a"), (V4, "b"), False),
        ((V4, OWN), (OTHER_V4, OWN), True),
    ],
)
def test_a_stream_is_for_who_has_the_same_key_or_without_keys_the_same_address(
    owner: tuple[str, str], newcomer: tuple[str, str], may: bool
) -> None:
    entries = {OPEN} if owner[1] == OPEN else {"a", "b", OWN}
    assert may_succeed(credentials(*owner), credentials(*newcomer), entries) is may


@pytest.mark.parametrize(
    ("was", "today"), [("a", {"b"}), ("a", {OWN}), (OPEN, {OWN}), (OWN, {"a", "b"}), ("a", {OPEN})]
)
def test_an_entry_that_lets_nobody_in_any_more_gives_no_claim(was: str, today: set[str]) -> None:
    for entry in today:
        assert may_succeed(credentials(V4, was), credentials(OTHER_V4, entry), today)


def test_an_ingest_of_an_earlier_version_says_nothing_of_them() -> None:
    who = credentials(V4, OPEN)
    assert may_succeed(UNTOLD, who, {OPEN})
    assert may_succeed(who, UNTOLD, {OPEN})


WHO = st.builds(
    Credentials, st.sampled_from(["", V4, OTHER_V4]), st.sampled_from([OPEN, OWN, "a", "b"])
)


@given(WHO, WHO, st.sets(st.sampled_from([OPEN, OWN, "a", "b"])))
def test_who_is_refused_differs_in_what_counts(
    owner: Credentials, newcomer: Credentials, entries: set[str]
) -> None:
    assert may_succeed(owner, owner, entries)
    if not may_succeed(owner, newcomer, entries):
        assert owner.entry in entries
        counts = "entry" if owner.entry or newcomer.entry else "address"
        assert getattr(owner, counts) != getattr(newcomer, counts)


@pytest.mark.parametrize(
    ("entry", "held_s", "words"),
    [
        (OPEN, None, "only one from the same address takes over"),
        ("a", None, "only one with the same publish key takes over"),
        (OPEN, 8.2, "waits 9 s more for its publisher: until then only one from the same address"),
        (OWN, 90.0, "waits 2 min more for its publisher: until then only one with the same"),
    ],
)
def test_the_refusal_says_why_and_until_when(entry: str, held_s: float | None, words: str) -> None:
    refusal = not_its_own(credentials(V4, entry), held_s)
    assert refusal.reason is RefusalReason.NAME_IN_USE
    assert words in refusal.words
    assert V4 not in refusal.words, "it is nobody else's business"
    assert not refusal.is_lasting

"""common/etcd/errors.py."""

import pytest

from common.etcd.errors import EtcdAway, EtcdRefused, error_of

REFUSED = [
    (5, "etcdserver: requested lease not found", "is_lease_missing"),
    (9, "etcdserver: lease already exists", "is_lease_taken"),
    (16, "etcdserver: invalid auth token", "is_unauthenticated"),
    (3, "etcdserver: user name is empty", "is_unauthenticated"),
]


@pytest.mark.parametrize(("code", "words", "name"), REFUSED)
def test_a_refusal_is_known_by_what_it_is_for(code: int, words: str, name: str) -> None:
    error = error_of(code, words)
    assert isinstance(error, EtcdRefused)
    assert str(error) == words
    facts = ("is_lease_missing", "is_lease_taken", "is_unauthenticated")
    assert [fact for fact in facts if getattr(error, fact)] == [name]


@pytest.mark.parametrize("code", [1, 2, 4, 14])
def test_what_another_endpoint_may_do_better_is_no_refusal(code: int) -> None:
    assert isinstance(error_of(code, "etcdserver: no leader"), EtcdAway)


def test_words_of_any_length_are_cut() -> None:
    assert len(str(error_of(3, "x" * 10_000))) == 200
    assert len(str(error_of(14, "x" * 10_000))) == 200

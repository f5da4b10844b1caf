"""A publisher's key by `Authorization`, and whose offer it is."""

import pytest

from egress.web.answers import Refused, preflight
from egress.web.whip import MAX_TOKEN, bearer


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer secret", "secret"),
        ("bearer  secret ", "secret"),
        ("BEARER a b", "a b"),
        ("Basic c2VjcmV0", ""),
        ("Bearer", ""),
        ("Bearer ", ""),
        ("", ""),
    ],
)
def test_the_bearer_token_is_the_key(header: str, token: str) -> None:
    assert bearer(header) == token


def test_a_token_is_bounded() -> None:
    with pytest.raises(Refused, match="too long"):
        bearer("Bearer " + "x" * MAX_TOKEN)


def test_pages_of_other_sites_may_send_it() -> None:
    """`*` does not stand for `Authorization` (Fetch standard)."""
    allowed = preflight().headers["Access-Control-Allow-Headers"].lower().split(", ")
    assert {"*", "authorization"} == set(allowed)

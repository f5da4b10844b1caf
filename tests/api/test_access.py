"""Who may ask the API for what."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.access import Access, Asker, Denied, Granted, host_name, judge
from common.access.keys import digest_of

TOKEN = "a-token-of-some-length"
TOKENS = (digest_of("another-token-of-some"), digest_of(TOKEN))
LOCAL = Asker("127.0.0.1", "127.0.0.1", "localhost")
BEARER = f"Bearer {TOKEN}"

READS = [
    ("from this host", LOCAL, True),
    ("by an address of it", replace(LOCAL, host="127.0.0.1"), True),
    ("by IPv6", Asker("::1", "::1", "::1"), True),
    ("by a mapped address", Asker("::ffff:127.0.0.1", "::ffff:127.0.0.1", "127.0.0.1"), True),
    ("from elsewhere", replace(LOCAL, address="192.0.2.7"), False),
    ("at another address, from this host", replace(LOCAL, server="192.0.2.1"), False),
    ("by a name that was bound to this host", replace(LOCAL, host="evil.example"), False),
    ("by no name", replace(LOCAL, host=""), False),
    ("by way of a proxy", replace(LOCAL, is_forwarded=True), False),
    ("by another site's page", replace(LOCAL, is_cross_site=True), False),
]


@pytest.mark.parametrize(("_", "asker", "is_read"), READS, ids=[case[0] for case in READS])
def test_reading_needs_no_token_where_only_users_of_this_host_can_ask(
    _: str, asker: Asker, is_read: bool
) -> None:
    for tokens in ((), TOKENS):
        verdict = judge(Access.READ, asker, tokens)
        assert isinstance(verdict, Granted) is is_read
        if isinstance(verdict, Denied):
            assert verdict.status == 401
            assert "Authorization: Bearer" in verdict.words
        else:
            assert not verdict.has_token


@pytest.mark.parametrize("asker", [case[1] for case in READS])
@pytest.mark.parametrize("access", [Access.READ, Access.CHANGE])
def test_who_gives_a_good_token_is_answered_from_anywhere(access: Access, asker: Asker) -> None:
    asker = replace(asker, authorization=BEARER)
    assert judge(access, asker, TOKENS) == Granted(has_token=True)


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer wrong",
        "Bearer ",
        "Bearer",
        "",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {digest_of(TOKEN)}",
        "Bearer " + "x" * 10_000,
    ],
)
@pytest.mark.parametrize("access", [Access.READ, Access.CHANGE])
def test_a_wrong_token_is_refused_also_where_none_is_needed(
    access: Access, authorization: str
) -> None:
    for tokens in ((), TOKENS):
        verdict = judge(access, replace(LOCAL, authorization=authorization), tokens)
        assert isinstance(verdict, Denied)
        assert (verdict.status, verdict.code) == (401, "wrong-token")
        assert TOKEN not in verdict.words


def test_a_change_needs_a_token_also_from_this_host() -> None:
    verdict = judge(Access.CHANGE, LOCAL, TOKENS)
    assert isinstance(verdict, Denied)
    assert (verdict.status, verdict.code) == (401, "token-needed")


def test_where_no_token_is_configured_nothing_can_be_changed_and_the_words_say_what_to_do() -> None:
    verdict = judge(Access.CHANGE, LOCAL, ())
    assert isinstance(verdict, Denied)
    assert (verdict.status, verdict.code) == (403, "no-token-configured")
    assert "api.tokens" in verdict.words


@pytest.mark.parametrize("asker", [case[1] for case in READS])
def test_probes_and_the_page_itself_are_open(asker: Asker) -> None:
    assert judge(Access.OPEN, replace(asker, authorization="nonsense"), TOKENS) == Granted()


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_read_in_any_case(scheme: str) -> None:
    asker = replace(LOCAL, authorization=f"{scheme}  {TOKEN} ")
    assert judge(Access.CHANGE, asker, TOKENS) == Granted(has_token=True)


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("localhost:9180", "localhost"),
        ("localhost", "localhost"),
        ("[::1]:9180", "::1"),
        ("[::1]", "::1"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("localhost.evil.example", "localhost.evil.example"),
        ("", ""),
        ("[", ""),
    ],
)
def test_the_name_in_a_host_header(header: str, host: str) -> None:
    assert host_name(header) == host


@given(st.text(), st.text())
def test_no_header_raises_and_none_but_a_good_token_lets_change(header: str, host: str) -> None:
    asker = replace(LOCAL, authorization=header, host=host_name(host))
    assert isinstance(judge(Access.CHANGE, asker, TOKENS), Denied)
    assert isinstance(judge(Access.READ, asker, TOKENS), Denied)

"""Names of hosts that can be looked up."""

import contextlib
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.host_names import can_be_looked_up


@pytest.mark.parametrize(
    ("host", "can"),
    [
        ("localhost", True),
        ("media.example.org.", True),
        ("192.0.2.1", True),
        ("2001:db8::1", True),
        ("büro.example", True),
        ("a" * 63 + ".example", True),
        ("a" * 64 + ".example", False),
        ("a..b", False),
        (".example", False),
        ("xn--ä", False),
        ("a b", False),
        ("a\0b", False),
        ("a." * 200, False),
        ("", False),
    ],
)
def test_which_names_are_hosts(host: str, can: bool) -> None:
    assert can_be_looked_up(host) is can


@given(st.text(max_size=80))
def test_a_resolver_raises_nothing_but_os_errors_for_those_that_can(host: str) -> None:
    if can_be_looked_up(host):
        with contextlib.suppress(OSError):
            socket.getaddrinfo(host, 80, flags=socket.AI_NUMERICHOST)

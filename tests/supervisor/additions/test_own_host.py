"""supervisor/additions/own_host.py: which hosts are this one."""

import socket

import pytest

from supervisor.additions.own_host import address_of, is_own_host


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "farm.localhost",
        "127.0.0.1",
        "127.1",
        "127.8.9.10",
        "2130706433",
        "0x7f000001",
        "0.0.0.0",
        "0",
        "::1",
        "::",
        "::ffff:127.0.0.1",
        socket.gethostname(),
        socket.gethostname().upper() + ".",
    ],
)
def test_this_host_by_its_names_and_addresses(host: str) -> None:
    assert is_own_host(host)


@pytest.mark.parametrize("host", ["203.0.113.7", "2001:db8::7", "camera.lan", "localhost.example"])
def test_others(host: str) -> None:
    assert not is_own_host(host)


def test_a_name_is_no_address() -> None:
    assert address_of("camera.lan") is None
    assert str(address_of("::ffff:203.0.113.7")) == "203.0.113.7"

"""The port that several ingests share."""

import pytest

from common.process.listening import bind
from supervisor.processes.shared_port import find_port


def test_any_free_port_is_decided_once_and_can_then_be_shared() -> None:
    port = find_port("127.0.0.1", 0)
    assert port > 0
    shared = [sock for _ in range(2) for sock in bind("127.0.0.1", port, is_shared=True)]
    assert {sock.getsockname()[1] for sock in shared} == {port}
    for sock in shared:
        sock.close()


def test_a_port_that_is_shared_already_is_not_free_for_another_farm() -> None:
    (mine,) = bind("127.0.0.1", 0, is_shared=True)
    with mine, pytest.raises(OSError, match=r"cannot listen on 127\.0\.0\.1:\d+: Address already"):
        find_port("127.0.0.1", mine.getsockname()[1])


def test_an_address_of_another_host_is_named() -> None:
    with pytest.raises(OSError, match=r"cannot listen on 192\.0\.2\.1:1935"):
        find_port("192.0.2.1", 1935)


def test_a_port_that_is_not_shared_keeps_out_who_would_share_it() -> None:
    (mine,) = bind("127.0.0.1", 0)
    with mine, pytest.raises(OSError, match="cannot listen"):
        bind("127.0.0.1", mine.getsockname()[1], is_shared=True)

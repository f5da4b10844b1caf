"""When what a peer has sent is acknowledged."""

from common.rtmp.acknowledgements import Acknowledgements


def test_one_is_due_every_so_many_bytes() -> None:
    bytes_in = Acknowledgements(1000)
    bytes_in.received += 999
    assert not bytes_in.is_due
    bytes_in.received += 1
    assert bytes_in.is_due
    assert bytes_in.take()[-4:] == (1000).to_bytes(4, "big")
    assert not bytes_in.is_due
    assert not bytes_in.has_news


def test_a_peer_window_brings_them_earlier_never_later() -> None:
    bytes_in = Acknowledgements(1000)
    bytes_in.set_peer_window(100)
    bytes_in.received += 50
    assert bytes_in.is_due
    bytes_in.set_peer_window(1_000_000)
    assert not bytes_in.is_due
    bytes_in.set_peer_window(0)  # means nothing
    assert bytes_in.peer_window == 1_000_000

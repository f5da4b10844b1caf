"""A real ingest process, flooded by one address that never publishes."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from common.rtmp.blocking_client import RtmpPublisher
from common.rtmp.messages import set_chunk_size
from tests.attacks.rtmp import HANDSHAKE, connect, many_nulls, one_byte_chunks
from tests.kit.ingest_process import SETTINGS, FarmAround, send_gop
from tests.kit.waiting import patient, until

pytestmark = pytest.mark.e2e

ATTACKER = "127.0.0.9"
FLOODS = {
    "values": (HANDSHAKE + connect() + set_chunk_size(65536), many_nulls(65536) * 8),
    "chunks of one byte": (HANDSHAKE + set_chunk_size(1), one_byte_chunks()),
    "bytes": (HANDSHAKE[:100], bytes(65536)),
}


@contextlib.contextmanager
def flooding(port: int, first: bytes, then: bytes, connections: int = 20) -> Iterator[list[int]]:
    """So many connections that are opened again and again; gives how many were reset."""
    over = threading.Event()
    resets: list[int] = []

    def flood() -> None:
        while not over.is_set():
            peer = socket.socket()
            peer.settimeout(0.5)
            try:
                peer.bind((ATTACKER, 0))
                peer.connect(("127.0.0.1", port))
                peer.sendall(first)
                while not over.is_set():
                    peer.sendall(then)
            except ConnectionError:
                resets.append(1)
                time.sleep(0.05)
            except TimeoutError:
                pass  # it is held back
            finally:
                peer.close()

    threads = [threading.Thread(target=flood) for _ in range(connections)]
    for thread in threads:
        thread.start()
    try:
        yield resets
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_of_one_address_is_refused_and_a_publisher_comes_at_once(kind: str) -> None:
    ingest = replace(SETTINGS.ingest, exempt_networks=("127.0.0.1",), handshake_timeout_s=10.0)
    with FarmAround(replace(SETTINGS, ingest=ingest)) as farm:
        first, then = FLOODS[kind]
        with flooding(farm.port, first, then) as resets:
            until(lambda: resets, 15, "the flood is felt")
            began = time.monotonic()
            with RtmpPublisher(farm.url(), 30) as publisher:
                assert time.monotonic() - began < patient(1.0)
                send_gop(publisher)
                until(lambda: resets, 15, "the attacker is reset")

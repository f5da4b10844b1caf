"""What a handshake that came to nothing is called in the log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.tls.refusals import OPENING_BYTES, why_failed, why_plain

CLIENT_HELLO = bytes.fromhex("1603010200010001fc0303")


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (CLIENT_HELLO, ""),
        (CLIENT_HELLO[:1], ""),
        (b"\x03" + bytes(8), "RTMP without TLS: use rtmps:// here"),
        (b"GET / HTTP/1.1\r\n", "no TLS: this is HTTP"),
        (b"PROXY TCP4 203.0.113.7 10.0.0.1 1 2\r\n", "ingest.trusted_proxies alone"),
        (b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c", "ingest.trusted_proxies alone"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no TLS: this is SSH"),
        (b"\x80\x2e\x01\x03\x00", "what comes is no TLS"),  # SSL 2
        (b"P", None),
        (b"OPTI", None),
    ],
)
def test_what_is_no_tls_is_named_once_it_can_be(start: bytes, words: str | None) -> None:
    why = why_plain(start)
    assert why == words if not words else words in (why or "")


@given(st.binary(min_size=OPENING_BYTES, max_size=64))
def test_any_opening_is_decided_by_its_first_bytes(start: bytes) -> None:
    assert why_plain(start) is not None
    assert (why_plain(start) == "") == (start[0] == 0x16)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("UNSUPPORTED_PROTOCOL", "TLS 1.1 or older"),
        ("VERSION_TOO_LOW", "TLS 1.1 or older"),
        ("TLSV1_ALERT_UNKNOWN_CA", "does not trust the certificate"),
        ("NO_SHARED_CIPHER", "no cipher"),
        ("SOMETHING_ELSE", "TLS failed: something else"),
        (None, "the client left in the handshake"),
        ("", "the client left in the handshake"),
    ],
)
def test_openssls_reasons_are_words(reason: str | None, words: str) -> None:
    assert words in why_failed(reason)

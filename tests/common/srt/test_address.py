"""common/srt/address.py: where a caller calls."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import AddressError
from common.srt.address import SrtAddress, parse


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("srt://example.org:9000", SrtAddress("example.org", 9000)),
        ("srt://example.org:9000/", SrtAddress("example.org", 9000)),
        ("srt://[2001:db8::1]:9000", SrtAddress("2001:db8::1", 9000)),
        ("srt://h:9?streamid=publish:live/a", SrtAddress("h", 9, "publish:live/a")),
        ("srt://h:9?streamid=%23!::m=publish,r=a/b", SrtAddress("h", 9, "#!::m=publish,r=a/b")),
        ("srt://h:9?mode=caller&passphrase=0123456789", SrtAddress("h", 9, "", "0123456789")),
        ("srt://h:9?latency=500&pkt_size=1316", SrtAddress("h", 9, "", "", 500)),
    ],
)
def test_an_address_is_read(url: str, address: SrtAddress) -> None:
    assert parse(url) == address


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "srt://HOST:PORT"),
        ("rtmp://h:9/live", "srt://HOST:PORT"),
        ("srt://h", "srt://HOST:PORT"),
        ("srt://a..b:9", "no name that can be looked up"),
        ("srt://:9000", "srt://HOST:PORT"),
        ("srt://h:0", "srt://HOST:PORT"),
        ("srt://h:99999", "srt://HOST:PORT"),
        ("srt://h:9/live", "srt://HOST:PORT"),
        ("srt://[h:9", "srt://HOST:PORT"),
        ("srt://h:9?streamid=#!::m=publish", "%23"),
        ("srt://user:secret@h:9", "streamid"),
        ("srt://h:9?mode=listener", "mode=caller"),
        ("srt://h:9?transtype=file", "transtype=live"),
        ("srt://h:9?passphrase=short", "10 to 79"),
        ("srt://h:9?streamid=" + "x" * 513, "512"),
        ("srt://h:9?latency=120000", "milliseconds"),
        ("srt://h:9?latency=-1", "milliseconds"),
        ("srt://h:9?latency=1" + "0" * 5000, "milliseconds"),
        ("srt://h:9?keys=1", "not known"),
    ],
)
def test_one_that_cannot_be_called_is_refused(url: str, words: str) -> None:
    with pytest.raises(AddressError, match=words):
        parse(url)


def test_no_credential_is_shown() -> None:
    address = parse("srt://[2001:db8::1]:9?streamid=secret1&passphrase=secret2222")
    assert address.shown == "srt://[2001:db8::1]:9"
    assert "secret" not in repr(address)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_and_never_shown(text: str) -> None:
    words = ""
    try:
        parse(f"srt://h:9?passphrase=secret1{text}&secret2{text}")
    except AddressError as error:
        words = str(error)
    assert "secret" not in words

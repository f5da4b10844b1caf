"""cluster/keys.py: what hosts write, and what is made of what others wrote."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.keys import (
    HostRecord,
    Keys,
    StreamRecord,
    read_base,
    read_host,
    read_stream,
    write_base,
    write_host,
    write_stream,
)

KEYS = Keys("c")
DIGEST = "0" * 64


def test_a_record_comes_back_as_it_went() -> None:
    host = HostRecord("f", "1.0", "h:1936", "h:1935", {"software": 1.5}, {"software": 2.0}, True)
    assert read_host(write_host(host)) == host
    stream = StreamRecord("h", "f")
    assert read_stream(write_stream(stream)) == stream
    assert read_base(write_base(1.8e9)) == 1_800_000_000_000_000 < 1 << 53


def test_a_later_base_is_higher_than_any_epoch_of_an_earlier_one() -> None:
    assert read_base(write_base(1.8e9 + 10)) >= read_base(write_base(1.8e9)) + 10_000_000


@pytest.mark.parametrize(
    "value",
    [
        *(b"", b"[]", b"7", b"{", b"{}", b"\xff", b"[" * 100_000, b" " * 100_000),
        *(b'{"farm": 7}', b'{"farm": "a\\n"}', b'{"farm": "' + b"a" * 300 + b'"}'),
    ],
)
def test_what_cannot_be_read_is_nothing(value: bytes) -> None:
    assert read_host(value) is None
    assert read_stream(value) is None
    assert read_base(value) == 0


def test_a_field_that_is_odd_is_as_if_it_was_not_there() -> None:
    value = b'{"farm":"f","free":{"a":"x","b":-1,"c":1},"relay":7,"draining":1,"capacity":[]}'
    assert read_host(value) == HostRecord("f", free={"c": 1.0})


@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_not(value: bytes) -> None:
    read_host(value), read_stream(value), read_base(value)


def test_a_key_is_known_by_its_name() -> None:
    assert KEYS.host_of(KEYS.host("a.b")) == "a.b"
    assert KEYS.digest_of(KEYS.stream(DIGEST)) == DIGEST
    assert KEYS.digest_of(KEYS.stream("live/cam1")) == ""
    assert KEYS.host_of(KEYS.stream(DIGEST)) == KEYS.digest_of(KEYS.host("a")) == ""
    assert Keys("d").host_of(KEYS.host("a")) == ""

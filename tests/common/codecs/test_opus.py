"""common/codecs/opus.py: identification headers, and how long packets are."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.codecs.opus import OpusHead, describe_record, packet_samples, parse_config
from common.errors import OpusError
from common.media.units import AudioCodec, AudioConfig
from tests.kit.coded_tracks import coded_track

STEREO = OpusHead(2, 312, 48_000, 0, 0)
SURROUND = OpusHead(6, 312, 44_100, -256, 1, bytes((4, 2, 0, 4, 1, 2, 3, 5)))

HEADS = st.one_of(
    st.builds(
        OpusHead,
        st.integers(1, 2),
        st.integers(0, 0xFFFF),
        st.integers(0, 2**32 - 1),
        st.integers(-(2**15), 2**15 - 1),
        st.just(0),
    ),
    st.integers(1, 255).flatmap(
        lambda channels: st.builds(
            OpusHead,
            st.just(channels),
            st.integers(0, 0xFFFF),
            st.integers(0, 2**32 - 1),
            st.integers(-(2**15), 2**15 - 1),
            st.integers(1, 255),
            st.binary(min_size=2 + channels, max_size=2 + channels),
        )
    ),
)


@given(HEADS, st.binary(max_size=3))
def test_what_is_written_is_read(head: OpusHead, behind: bytes) -> None:
    assert OpusHead.parse(head.encode() + (behind if not head.mapping else b"")) == head


def test_an_encoders_header_is_read() -> None:
    config = coded_track(AudioCodec.OPUS).config
    assert isinstance(config, AudioConfig)
    assert OpusHead.parse(config.record) == STEREO
    assert (config.sample_rate, config.channels) == (48_000, 2)
    assert describe_record(config.record) == "Opus 48 kHz 2ch"
    assert parse_config(SURROUND.encode()).channels == 6


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (b"", "of 0 bytes"),
        (STEREO.encode()[:18], "of 18 bytes"),
        (b"OpusTags" + bytes(11), "no Opus header"),
        (b"OpusHead\x10" + STEREO.encode()[9:], "version 16"),
        (OpusHead(0, 0, 0, 0, 0).encode(), "without channels"),
        (OpusHead(3, 0, 0, 0, 0).encode(), "3 channels without a mapping"),
        (SURROUND.encode()[:-1], "within its channel mapping"),
    ],
)
def test_a_header_that_cannot_be_read_is_an_error(record: bytes, words: str) -> None:
    with pytest.raises(OpusError, match=words):
        OpusHead.parse(record)


@pytest.mark.parametrize(
    ("packet", "samples"),
    [
        ("00", 480),  # SILK, 10 ms
        ("18", 2_880),  # 60 ms
        ("61", 960),  # hybrid, two frames of 10 ms
        ("80", 120),  # CELT, 2.5 ms
        ("fc 77", 960),  # what encoders send: 20 ms
        ("fe", 1_920),
        ("f3 03", 1_440),  # three frames of 10 ms
        ("f3 c2", 960),  # with padding, of other sizes
        ("1b 02", 5_760),  # the longest
    ],
)
def test_the_first_bytes_say_how_long_a_packet_is(packet: str, samples: int) -> None:
    assert packet_samples(bytes.fromhex(packet)) == samples
    assert packet_samples(memoryview(bytes.fromhex(packet))) == samples


@pytest.mark.parametrize("packet", ["", "fb", "fb 00", "1b 03"])
def test_a_packet_without_or_with_too_much_sound_is_an_error(packet: str) -> None:
    with pytest.raises(OpusError, match="Opus packet"):
        packet_samples(bytes.fromhex(packet))


@given(st.sampled_from([OpusHead.parse, packet_samples]), st.binary(max_size=30))
def test_any_bytes_are_read_or_an_error(look: Callable[[bytes], object], data: bytes) -> None:
    try:
        look(data)
    except OpusError:
        return

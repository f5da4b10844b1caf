import io

import av
import numpy as np
import pytest
from av.audio.codeccontext import AudioCodecContext
from hypothesis import given, settings
from hypothesis import strategies as st

from common.codecs.aac import (
    SAMPLE_RATES,
    AudioSpecificConfig,
    adts_header_bytes,
    codec_string,
    config_of_adts,
    frame_samples,
    silent_frame,
    strip_adts,
)
from common.errors import FlvError

Asc = AudioSpecificConfig
# bytes, meaning, codec string, samples a frame, rate and channels that come out, written the same
CONFIGS = [
    ("LC 44.1k stereo", "1210", Asc(2, 44100, 2, 2), "mp4a.40.2", 1024, 44100, 2, True),
    ("LC 48k stereo", "1190", Asc(2, 48000, 2, 2), "mp4a.40.2", 1024, 48000, 2, True),
    ("LC 48k mono", "1188", Asc(2, 48000, 1, 1), "mp4a.40.2", 1024, 48000, 1, True),
    ("LC 48k 5.1", "11b0", Asc(2, 48000, 6, 6), "mp4a.40.2", 1024, 48000, 6, True),
    ("LC 48k 7.1", "11b8", Asc(2, 48000, 8, 7), "mp4a.40.2", 1024, 48000, 8, True),
    ("Main 8k", "0d90", Asc(1, 8000, 2, 2), "mp4a.40.1", 1024, 8000, 2, False),
    ("960 samples", "1214", Asc(2, 44100, 2, 2, True), "mp4a.40.2", 960, 44100, 2, True),
    ("rate of its own", "1780" "5dc010", Asc(2, 48000, 2, 2), "mp4a.40.2", 1024, 48000, 2, False),
    ("SBR in front", "2b11" "8800", Asc(2, 24000, 2, 2, False, True, False, 48000),
     "mp4a.40.5", 2048, 48000, 2, True),
    ("SBR behind", "131056e598", Asc(2, 24000, 2, 2, False, True, False, 48000),
     "mp4a.40.5", 2048, 48000, 2, False),
    ("PS in front", "eb098800", Asc(2, 24000, 1, 1, False, True, True, 48000),
     "mp4a.40.29", 2048, 48000, 2, True),
    ("SBR and PS behind", "130856e59d4880", Asc(2, 24000, 1, 1, False, True, True, 48000),
     "mp4a.40.29", 2048, 48000, 2, False),
    ("SBR said to be absent", "121056e500", Asc(2, 44100, 2, 2),
     "mp4a.40.2", 1024, 44100, 2, False),
    ("ELD", "f8e64000", Asc(39, 48000, 2, 2), "mp4a.40.39", 512, 48000, 2, False),
]  # fmt: skip
by_config = pytest.mark.parametrize(
    ("data", "config", "codec", "samples", "rate", "channels", "written"),
    [(bytes.fromhex(case[1]), *case[2:]) for case in CONFIGS],
    ids=[case[0] for case in CONFIGS],
)


@by_config
def test_a_config_is_read_and_written(
    data: bytes, config: Asc, codec: str, samples: int, rate: int, channels: int, written: bool
) -> None:
    parsed = Asc.parse(data)
    assert parsed == config
    assert codec_string(parsed) == codec
    assert frame_samples(parsed) == samples
    assert (parsed.output_rate, parsed.output_channels) == (rate, channels)
    if written:
        assert config.encode() == data
    if config.object_type == 2:
        assert Asc.parse(config.encode()) == config


@by_config
def test_a_config_cut_anywhere_is_an_flv_error_or_says_less(
    data: bytes, config: Asc, codec: str, samples: int, rate: int, channels: int, written: bool
) -> None:
    for size in range(len(data)):
        try:
            parsed = Asc.parse(data[:size])
        except FlvError:
            continue
        assert parsed.sample_rate == config.sample_rate


def test_channels_of_a_program_config_element_are_counted() -> None:
    # Object type 2, 48 kHz, channel configuration 0; then front: one pair and one single, back: one
    # pair, LFE: one, as FFmpeg writes 5.1(side) from some sources; comment of no bytes.
    bits = "0001000110000000" + "0000010011001000000001010000000"
    bits += "000" + "0000010001" + "10010" + "0000"
    bits += "0" * (-len(bits) % 8) + "00000000"
    config = Asc.parse(int(bits, 2).to_bytes(len(bits) // 8, "big"))
    assert (config.channels, config.channel_config) == (6, 0)
    with pytest.raises(FlvError, match="cannot be written"):
        config.encode()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "bits wanted"),
        ("12", "bits wanted"),
        ("1690", "rate index 13"),
        ("1780000010", "sample rate of 0"),
        ("11c0", "without channels"),
        ("11f8", "channel configuration 15"),
    ],
)
def test_an_unreadable_config_is_refused_with_the_reason(data: str, reason: str) -> None:
    with pytest.raises(FlvError, match=reason):
        Asc.parse(bytes.fromhex(data))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=40) | st.binary(max_size=40).map(lambda data: b"\x11\x80" + data))
def test_any_bytes_are_a_config_or_an_flv_error(data: bytes) -> None:
    try:
        config = Asc.parse(data)
    except FlvError:
        return
    assert config.channels > 0
    assert config.sample_rate > 0


def encode_adts(rate: int, layout: str) -> list[bytes]:
    """A few ADTS frames as libavformat writes them."""
    file = io.BytesIO()
    with av.open(file, "w", format="adts") as container:
        stream = container.add_stream("aac", rate=rate, layout=layout)
        channels = len(av.AudioLayout(layout).channels)
        frame = av.AudioFrame.from_ndarray(np.zeros((channels, 4096), "float32"), "fltp", layout)
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    data, frames = file.getvalue(), []
    while data:
        size = int.from_bytes(data[3:6], "big") >> 5 & 0x1FFF
        frames.append(data[:size])
        data = data[size:]
    return frames


@pytest.mark.parametrize(("rate", "layout"), [(44100, "stereo"), (48000, "mono"), (8000, "stereo")])
def test_adts_of_libavformat_is_stripped_and_tells_its_config(rate: int, layout: str) -> None:
    channels = len(av.AudioLayout(layout).channels)
    for frame in encode_adts(rate, layout):
        assert strip_adts(frame) == frame[7:]
        assert config_of_adts(frame) == Asc(2, rate, channels, channels)


def test_only_a_whole_adts_frame_is_stripped() -> None:
    frame = encode_adts(44100, "stereo")[0]
    with_crc = bytearray(frame[:7] + b"\xaa\xbb" + frame[7:])
    with_crc[1] &= 0xFE
    size = len(with_crc)
    with_crc[3:6] = ((int.from_bytes(frame[3:6], "big") & 0xFC001F) | size << 5).to_bytes(3, "big")
    assert strip_adts(bytes(with_crc)) == frame[7:]
    for other in (b"", frame[:6], frame[:-1], frame + b"\x00", frame[7:], b"\xff\xe1" + frame[2:]):
        assert adts_header_bytes(other) == 0
        assert strip_adts(other) == other
        assert config_of_adts(other) is None
    no_channels = frame[:2] + bytes((frame[2] & 0xFE, frame[3] & 0x3F)) + frame[4:]
    assert config_of_adts(no_channels) is None


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [SAMPLE_RATES[3], SAMPLE_RATES[4], SAMPLE_RATES[11]])
def test_a_silent_frame_decodes_to_silence(channels: int, rate: int) -> None:
    decoder = av.CodecContext.create("aac", "r")
    assert isinstance(decoder, AudioCodecContext)
    decoder.extradata = Asc(2, rate, channels, channels).encode()
    decoder.options = {"err_detect": "explode"}
    packets = [av.Packet(silent_frame(channels)) for _ in range(4)]
    frames = [frame for packet in packets for frame in decoder.decode(packet)]
    assert len(frames) == 4
    for frame in frames:
        assert (frame.samples, frame.sample_rate) == (1024, rate)
        assert len(frame.layout.channels) == channels
        assert not frame.to_ndarray().any()


def test_silence_for_more_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="3 channels"):
        silent_frame(3)

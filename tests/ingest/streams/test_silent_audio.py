"""ingest/streams/silent_audio.py: which formats, and when a frame of silence is due."""

import itertools

import av
import pytest

from common.codecs.aac import AudioSpecificConfig, parse_config
from common.media.units import AudioCodec, AudioConfig
from ingest.streams.silent_audio import LAG_MS, Silence, can_be_silent

STEREO = parse_config(AudioSpecificConfig(2, 48_000, 2, 2).encode())


@pytest.mark.parametrize(
    ("config", "can"),
    [
        (AudioSpecificConfig(2, 48_000, 2, 2), True),
        (AudioSpecificConfig(2, 44_100, 1, 1), True),
        (AudioSpecificConfig(2, 48_000, 6, 6), False),
        (AudioSpecificConfig(1, 24_000, 2, 2), False),
        (AudioSpecificConfig(2, 24_000, 2, 2, sbr=True), False),
        (AudioSpecificConfig(2, 48_000, 2, 2, short_frames=True), False),
    ],
)
def test_silence_is_made_for_plain_aac_lc_alone(config: AudioSpecificConfig, can: bool) -> None:
    assert can_be_silent(parse_config(config.encode())) is can
    assert not can_be_silent(AudioConfig(AudioCodec.MP3))


@pytest.mark.parametrize(("channels", "can"), [(1, True), (2, True), (6, False)])
def test_silence_is_made_for_opus_of_one_or_two_channels(channels: int, can: bool) -> None:
    assert can_be_silent(AudioConfig(AudioCodec.OPUS, b"", "", 48_000, channels)) is can


def due(silence: Silence, stream_now_ms: int) -> list[int]:
    return [unit.dts_ms for unit in silence.take(stream_now_ms, 100.0)]


def test_frames_follow_the_last_one_without_a_gap_up_to_now() -> None:
    silence = Silence(STEREO, 1000)
    times = due(silence, 1500)
    times += due(silence, 2000)
    assert times[0] == 1021
    assert times[-1] <= 2000 - LAG_MS
    assert len(times) == 42
    assert {b - a for a, b in itertools.pairwise(times)} == {21, 22}
    assert not due(silence, 2000)


def test_a_long_silence_before_it_is_not_filled_in_after_the_fact() -> None:
    assert due(Silence(STEREO, 1000), 20_000) == [20_000 - LAG_MS]
    assert due(Silence(STEREO, None), 20_000) == [20_000 - LAG_MS]


@pytest.mark.parametrize("channels", [1, 2])
def test_packets_of_opus_follow_each_other_and_decode_to_silence(channels: int) -> None:
    silence = Silence(AudioConfig(AudioCodec.OPUS, b"", "", 48_000, channels), 1000)
    units = list(silence.take(1300, 5.0))
    assert [unit.dts_ms for unit in units] == list(range(1020, 1220, 20))
    context = av.CodecContext.create("libopus", "r")
    for unit in units:
        (frame,) = context.decode(av.Packet(bytes(unit.data)))
        assert frame.samples == 960
        assert not frame.to_ndarray().any()


@pytest.mark.parametrize("channels", [1, 2])
def test_the_frames_decode_to_silence(channels: int) -> None:
    config = AudioSpecificConfig(2, 48_000, channels, channels)
    context = av.CodecContext.create("aac", "r")
    context.extradata = config.encode()
    (unit,) = Silence(parse_config(config.encode()), None).take(1_000, 5.0)
    assert (unit.codec, unit.received_s) == (AudioCodec.AAC, 5.0)
    for _ in range(3):
        frames = context.decode(av.Packet(bytes(unit.data)))
    assert frames[0].samples == 1024
    assert not frames[0].to_ndarray().any()

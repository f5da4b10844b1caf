"""common/mp4/init_segment.py: tracks and their sample entries, read by a reader of our own."""

import struct
from fractions import Fraction

import pytest

from common.codecs import aac
from common.codecs.aac import AudioSpecificConfig
from common.media.units import AudioCodec, AudioConfig, VideoCodec, VideoConfig
from common.mp4.init_segment import Track, init_segment, is_known
from tests.kit.mp4_reader import boxes, kinds, read_movie

RECORD = b"\1\x64\0\x1f\xff\xe0\0"
VIDEO = VideoConfig(VideoCodec.H264, RECORD, 1280, 720)
STEREO = bytes((0x11, 0x90))  # AAC-LC, 48 kHz


def test_it_has_a_track_for_each_configuration() -> None:
    data = init_segment([Track(VIDEO, 1000), Track(aac.parse_config(STEREO), 48_000)])
    assert kinds(data) == [b"ftyp", b"moov"]
    movie = read_movie(data)
    assert movie.timescales == {1: 1000, 2: 48_000}
    assert [movie.entries[track].kind for track in (1, 2)] == [b"avc1", b"mp4a"]
    moov = boxes(data)[1]
    handlers = [trak.find(b"mdia", b"hdlr").content[8:12] for trak in moov.all(b"trak")]
    assert handlers == [b"vide", b"soun"]
    assert len(moov.find(b"mvex").all(b"trex")) == 2


def test_pictures_without_sound_are_one_track() -> None:
    assert read_movie(init_segment([Track(VIDEO, 1000)])).timescales == {1: 1000}


@pytest.mark.parametrize(
    ("aspect", "shape"),
    [
        (Fraction(1), None),
        (Fraction(4, 3), (4, 3)),
        (Fraction(0), None),
        (Fraction(70_000, 3), None),  # no display is so
    ],
)
def test_the_entry_has_the_record_the_size_and_the_shape_of_samples(
    aspect: Fraction, shape: tuple[int, int] | None
) -> None:
    config = VideoConfig(VideoCodec.H264, RECORD, 720, 576, sample_aspect=aspect)
    entry = read_movie(init_segment([Track(config, 1000)])).entries[1]
    assert struct.unpack_from(">HH", entry.content, 24) == (720, 576)
    inside = {box.kind: box.content for box in boxes(entry.content[78:])}
    assert inside[b"avcC"] == RECORD
    found = inside.get(b"pasp")
    assert (struct.unpack(">II", found) if found is not None else None) == shape


@pytest.mark.parametrize(
    ("config", "rate"),
    [
        (AudioSpecificConfig(2, 48_000, 2, 2), 48_000),
        (AudioSpecificConfig(2, 22_050, 1, 1, sbr=True, extension_rate=44_100), 44_100),
        (AudioSpecificConfig(2, 96_000, 2, 2), 0),  # more than the field holds
    ],
)
def test_the_entry_of_sound_has_its_record(config: AudioSpecificConfig, rate: int) -> None:
    record = config.encode()
    sound = aac.parse_config(record)
    entry = read_movie(init_segment([Track(VIDEO, 1000), Track(sound, 48_000)])).entries[2]
    assert struct.unpack_from(">H", entry.content, 16) == (sound.channels,)
    assert struct.unpack_from(">I", entry.content, 24) == (rate << 16,)
    (esds,) = boxes(entry.content[28:])
    assert esds.kind == b"esds"
    assert b"\x05\x80\x80\x80" + bytes((len(record),)) + record in esds.content


def test_what_no_track_can_be_of_is_said() -> None:
    assert is_known(VIDEO)
    assert is_known(aac.parse_config(STEREO))
    assert not is_known(AudioConfig(AudioCodec.SPEEX))
    assert not is_known(VideoConfig(VideoCodec.VP6, b"", 2, 2))

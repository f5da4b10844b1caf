"""common/mp4/init_segment.py: tracks and their sample entries, read by a reader of our own."""

import io
import struct
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.codecs import aac
from common.codecs.aac import AudioSpecificConfig
from common.codecs.h265 import with_complete_arrays
from common.codecs.opus import OpusHead
from common.media.units import AudioCodec, AudioConfig, VideoCodec, VideoConfig
from common.mp4.fragments import Run, fragment
from common.mp4.init_segment import AUDIO_ENTRIES, VIDEO_ENTRIES, Track, init_segment, is_known
from tests.kit.coded_tracks import FPS, coded_track
from tests.kit.mp4_reader import boxes, kinds, read_movie
from tests.kit.needs import needs_program

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


@pytest.mark.parametrize(
    ("tracks", "brands"),
    [
        ([Track(VIDEO, 90_000)], [b"iso6", b"mp41", b"cmfc"]),
        ([Track(VIDEO, 90_000, is_reordered=False)], [b"iso6", b"mp41", b"cmfc", b"cmf2"]),
        ([Track(aac.parse_config(STEREO), 48_000)], [b"iso6", b"mp41", b"cmfc", b"cmf2"]),
        ([Track(VIDEO, 1_000), Track(aac.parse_config(STEREO), 48_000)], [b"iso6", b"mp41"]),
    ],
)
def test_one_track_alone_is_cmaf(tracks: list[Track], brands: list[bytes]) -> None:
    ftyp = boxes(init_segment(tracks))[0].content
    assert ftyp == b"iso6" + bytes(4) + b"".join(brands)


VIDEO_RECORDS = {
    VideoCodec.H264: (b"avc1", b"avcC", RECORD),
    VideoCodec.H265: (b"hvc1", b"hvcC", coded_track(VideoCodec.H265).config.record),
    VideoCodec.AV1: (b"av01", b"av1C", coded_track(VideoCodec.AV1).config.record),
}


@given(
    st.sampled_from(sorted(VIDEO_ENTRIES)),
    st.integers(1, 0xFFFF),
    st.integers(1, 0xFFFF),
    st.builds(Fraction, st.integers(1, 70_000), st.integers(1, 70_000)),
    st.integers(1, 2**32 - 1),
)
def test_pictures_of_any_codec_and_size_are_read_back(
    codec: VideoCodec, width: int, height: int, aspect: Fraction, timescale: int
) -> None:
    kind, record_kind, record = VIDEO_RECORDS[codec]
    config = VideoConfig(codec, record, width, height, sample_aspect=aspect)
    movie = read_movie(init_segment([Track(config, timescale)]))
    assert movie.timescales == {1: timescale}
    entry = movie.entries[1]
    assert entry.kind == kind
    assert struct.unpack_from(">HH", entry.content, 24) == (width, height)
    inside = {box.kind: box.content for box in boxes(entry.content[78:])}
    is_hevc = codec is VideoCodec.H265
    assert inside[record_kind] == (with_complete_arrays(record) if is_hevc else record)
    is_told = aspect != 1 and max(aspect.numerator, aspect.denominator) < 1 << 16
    assert (b"pasp" in inside) == is_told


@pytest.mark.parametrize(
    "head",
    [
        OpusHead(2, 312, 48_000, 0, 0),
        OpusHead(1, 3_840, 16_000, -512, 0),
        OpusHead(6, 312, 0, 1, 1, bytes((4, 2, 0, 4, 1, 2, 3, 5))),
    ],
)
def test_an_opus_entry_is_its_header_in_the_order_of_a_network(head: OpusHead) -> None:
    config = AudioConfig(AudioCodec.OPUS, head.encode(), channels=head.channels)
    entry = read_movie(init_segment([Track(config, 48_000)])).entries[2]
    assert entry.kind == b"Opus"
    assert struct.unpack_from(">H", entry.content, 16) == (head.channels,)
    assert struct.unpack_from(">I", entry.content, 24) == (48_000 << 16,)
    (record,) = boxes(entry.content[28:])
    assert record.kind == b"dOps"
    fields = struct.unpack_from(">BBHIhB", record.content)
    assert fields == (
        0, head.channels, head.pre_skip, head.input_rate, head.gain, head.family
    )  # fmt: skip
    assert record.content[11:] == head.mapping


FORMS = [*VIDEO_ENTRIES, *AUDIO_ENTRIES]


def cmaf_file(codec: VideoCodec | AudioCodec, parts: int) -> bytes:
    """A header and so many fragments of a track that encoders made."""
    coded = coded_track(codec)
    track = Track(coded.config, coded.timescale, is_reordered=False)
    made = [init_segment([track])]
    begin, step = coded.begin, -(-len(coded.samples) // parts)
    for number, at in enumerate(range(0, len(coded.samples), step), 1):
        samples = coded.samples[at : at + step]
        made.append(fragment(number, [Run(track.number, begin, samples)]))
        begin += sum(one.duration for one in samples)
    return b"".join(made)


@pytest.mark.parametrize("codec", FORMS)
def test_a_decoder_that_forgives_nothing_finds_all_of_a_track(
    codec: VideoCodec | AudioCodec,
) -> None:
    coded = coded_track(codec)
    options = {"err_detect": "explode"}
    with av.open(io.BytesIO(cmaf_file(codec, 4)), "r", "mp4", options) as movie:
        if isinstance(codec, VideoCodec):
            shown = [round((frame.time or 0) * FPS) for frame in movie.decode(video=0)]
            assert shown == list(range(coded.decoded))
        else:
            assert sum(frame.samples for frame in movie.decode(audio=0)) >= coded.decoded - 312


@needs_program("ffmpeg")
@pytest.mark.parametrize("codec", FORMS)
def test_ffmpeg_ends_at_no_error(codec: VideoCodec | AudioCodec, tmp_path: Path) -> None:
    path = tmp_path / "track.mp4"
    path.write_bytes(cmaf_file(codec, 3))
    command = ["ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", str(path), "-f", "null", "-"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")

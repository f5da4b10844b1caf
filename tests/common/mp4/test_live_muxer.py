"""common/mp4/live_muxer.py: times without gaps, fragments from keyframes on, and a decoder."""

import io
import itertools
from fractions import Fraction
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.codecs import aac
from common.errors import ProtocolError
from common.media.units import (
    AudioCodec,
    AudioConfig,
    AudioUnit,
    VideoCodec,
    VideoConfig,
    VideoUnit,
)
from common.mp4.live_muxer import MAX_SOUND_MS, Fragment, LiveMuxer
from tests.kit.clips import ClipSpec, make_clip
from tests.kit.ingest_ports import ASC, SPS_720, audio_unit, config, record, video_unit
from tests.kit.mp4_reader import Movie, read_movie

SOUND = aac.parse_config(ASC)
FRAME = 1024  # samples at 48 kHz: 21.33 ms


def muxed(
    *batches: list[VideoUnit | AudioUnit], sound: AudioConfig | None = SOUND
) -> tuple[Movie, list[Fragment]]:
    """What comes of units that come in batches, each flushed."""
    muxer = LiveMuxer(config(), sound)
    made: list[Fragment] = []
    for batch in batches:
        found = [*map(muxer.add, batch), muxer.flush()]
        made += [one for one in found if one is not None]
    made += muxer.finish()
    return read_movie(muxer.init + b"".join(one.data for one in made)), made


def test_it_names_its_codecs() -> None:
    assert LiveMuxer(config(), SOUND).codecs == ("avc1.640028", "mp4a.40.2")
    assert LiveMuxer(config(), None).codecs == ("avc1.640028",)
    for codec in (AudioCodec.MP3, AudioCodec.OPUS):
        assert LiveMuxer(config(), AudioConfig(codec)).codecs == ("avc1.640028",)


def test_a_picture_lasts_until_the_next_one() -> None:
    movie, _ = muxed([video_unit(0, key=True)], [video_unit(40)], [video_unit(140)])
    assert [(s.dts, s.duration, s.is_key) for s in movie.of(1)] == [
        (0, 40, True),
        (40, 100, False),
        (140, 40, False),
    ]


def test_a_picture_goes_out_when_the_next_one_has_come() -> None:
    muxer = LiveMuxer(config(), SOUND)
    muxer.add(video_unit(0, key=True))
    assert muxer.flush() is None
    muxer.add(video_unit(40))
    found = muxer.flush()
    assert found is not None
    assert (found.is_key, found.begin_ms, found.end_ms, found.pictures) == (True, 0, 40, 1)
    assert muxer.flush() is None


def test_what_a_freeze_leaves_out_is_the_last_picture() -> None:
    movie, _ = muxed([video_unit(0, key=True)], [video_unit(40)], [video_unit(5_040, key=True)])
    assert [s.duration for s in movie.of(1)] == [40, 5_000, 40]


def test_two_pictures_of_one_time_stay_in_order_and_keep_their_presentation() -> None:
    units = [video_unit(0, key=True), video_unit(0, composition_ms=80), video_unit(0)]
    movie, _ = muxed([*units, video_unit(40)])
    assert [(s.dts, s.pts) for s in movie.of(1)] == [(0, 0), (1, 80), (2, 0), (40, 40)]


def test_presentation_may_be_before_decoding() -> None:
    movie, _ = muxed([video_unit(1_000, key=True, composition_ms=-40), video_unit(1_040)])
    assert movie.of(1)[0].pts == 960


def test_each_keyframe_begins_a_fragment_and_no_other_does() -> None:
    units = [video_unit(at, key=at in (0, 80, 120)) for at in range(0, 240, 40)]
    _, made = muxed([*units])
    assert [(one.is_key, one.begin_ms, one.pictures) for one in made] == [
        (True, 0, 2),
        (True, 80, 1),
        (True, 120, 2),
        (False, 200, 1),
    ]


def test_fragments_are_numbered_also_over_another_configuration() -> None:
    first = LiveMuxer(config(), None)
    first.add(video_unit(0, key=True))
    first.finish()
    second = LiveMuxer(config(SPS_720), None, first.number)
    second.add(video_unit(40, key=True))
    (made,) = second.finish()
    assert read_movie(made.data).numbers == [2]


@pytest.mark.parametrize(
    ("times_ms", "durations"),
    [
        ([0, 21, 43, 64, 85], [FRAME] * 4),  # rounded: counted
        ([0, 22, 42, 66, 85], [FRAME] * 4),  # and with some jitter
        ([0, 21, 43, 243, 264], [FRAME, FRAME, 200 * 48, FRAME]),  # a gap stays one
        ([0, 21, 43, 43, 43, 43, 43], [FRAME, FRAME, FRAME, 1, 1, 1]),  # too many frames
    ],
)
def test_sound_is_counted_in_samples_until_its_times_are_others(
    times_ms: list[int], durations: list[int]
) -> None:
    movie, _ = muxed([video_unit(0, key=True), *map(audio_unit, times_ms), video_unit(400)])
    found = [s.duration for s in movie.of(2)]
    assert len(found) == len(durations)
    for one, wanted in zip(found, durations, strict=True):
        assert one == wanted or abs(one - wanted) <= 48, (found, durations)


def test_sound_waits_for_a_picture_but_not_for_long() -> None:
    muxer = LiveMuxer(config(), SOUND)
    muxer.add(video_unit(0, key=True))
    sent = []
    for at in range(0, 400, 20):
        muxer.add(audio_unit(at))
        found = muxer.flush()
        sent += [at] if found is not None else []
    assert sent
    assert sent[0] >= MAX_SOUND_MS
    assert all(later - earlier >= MAX_SOUND_MS for earlier, later in itertools.pairwise(sent))


def test_a_record_that_cannot_be_read_is_the_protocols_fault() -> None:
    with pytest.raises(ProtocolError):
        LiveMuxer(VideoConfig(VideoCodec.H264, b"", 2, 2), None)


STEP = st.integers(0, 300)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), STEP, st.booleans()), min_size=1, max_size=60)
)
def test_whatever_the_times_no_track_has_a_gap_and_nothing_is_lost(
    steps: list[tuple[bool, bool, int, bool]],
) -> None:
    """In stream time, which never steps back within a track."""
    batches: list[list[VideoUnit | AudioUnit]] = [[video_unit(0, key=True)]]
    at = {True: 0, False: 0}
    for is_video, is_key, step, is_new in steps:
        at[is_video] += step
        if is_new:
            batches.append([])
        batches[-1].append(video_unit(at[True], key=is_key) if is_video else audio_unit(at[False]))
    movie, made = muxed(*batches)
    units = [unit for batch in batches for unit in batch]
    assert len(movie.of(1)) == sum(isinstance(unit, VideoUnit) for unit in units)
    sounds = sum(isinstance(unit, AudioUnit) for unit in units)
    assert len(movie.of(2)) == max(0, sounds - 1), "all but the one that is held"
    for track in (1, 2):
        samples = movie.of(track)
        assert all(sample.duration > 0 for sample in samples)
        for one, following in itertools.pairwise(samples):
            assert one.dts + one.duration == following.dts
    assert movie.numbers == list(range(1, len(made) + 1))
    keys = [one for one in made if one.is_key]
    assert len(keys) == sum(sample.is_key for sample in movie.of(1))


def units_of(path: Path) -> tuple[VideoConfig, AudioConfig, list[VideoUnit | AudioUnit], int]:
    """A clip's units in order, and how many pictures it has."""
    units: list[VideoUnit | AudioUnit] = []
    with av.open(str(path)) as clip:
        pictures, sound = clip.streams.video[0], clip.streams.audio[0]
        record_of = {s.index: bytes(s.codec_context.extradata or b"") for s in (pictures, sound)}
        for packet in clip.demux():
            if packet.dts is None or packet.pts is None or packet.time_base is None:
                continue
            dts, pts = (round(at * packet.time_base * 1000) for at in (packet.dts, packet.pts))
            if packet.stream is pictures:
                unit = video_unit(
                    dts, key=packet.is_keyframe, composition_ms=pts - dts, data=bytes(packet)
                )
                units.append(unit)
            else:
                units.append(audio_unit(dts, bytes(packet)))
        video = VideoConfig(
            VideoCodec.H264, record_of[pictures.index], pictures.width, pictures.height
        )
        audio = aac.parse_config(record_of[sound.index])
    return video, audio, units, sum(isinstance(unit, VideoUnit) for unit in units)


def test_a_strict_decoder_finds_every_picture_and_the_sound(tmp_path: Path) -> None:
    spec = ClipSpec(seconds=3.0, fps=Fraction(25), gop_frames=25)
    video, audio, units, pictures = units_of(make_clip(tmp_path / "clip.flv", spec))
    muxer = LiveMuxer(video, audio)
    body = bytearray(muxer.init)
    for at in range(0, len(units), 4):
        for unit in units[at : at + 4]:
            made = muxer.add(unit)
            body += made.data if made is not None else b""
        found = muxer.flush()
        body += found.data if found is not None else b""
    body += b"".join(one.data for one in muxer.finish())

    options = {"err_detect": "explode"}
    with av.open(io.BytesIO(bytes(body)), "r", "mp4", options) as movie:
        shown = [frame.time or 0.0 for frame in movie.decode(video=0)]
    with av.open(io.BytesIO(bytes(body)), "r", "mp4", options) as movie:
        heard = [(frame.time or 0.0, frame.samples) for frame in movie.decode(audio=0)]
    assert len(shown) == pictures == spec.frames
    steps = {round(1000 * (b - a)) for a, b in itertools.pairwise(shown)}
    assert steps == {40}
    assert sum(samples for _, samples in heard) / 48_000 == pytest.approx(spec.seconds, abs=0.1)
    for (one, samples), (following, _) in itertools.pairwise(heard):
        assert following == pytest.approx(one + samples / 48_000, abs=0.000_1)


def test_an_unknown_profile_is_named_as_it_is() -> None:
    assert LiveMuxer(config(SPS_720), None).codecs == ("avc1.64001f",)
    assert record(SPS_720) in LiveMuxer(config(SPS_720), None).init

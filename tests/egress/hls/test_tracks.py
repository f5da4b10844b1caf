"""egress/hls/tracks.py: units in, parts out; sound without holes."""

import struct
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.codecs import aac, opus
from common.errors import ProtocolError
from common.media.units import AudioCodec, AudioConfig
from egress.hls.parts import Part
from egress.hls.tracks import MAX_FILLED_MS, SILENT_MS, PictureTrack, SoundTrack
from tests.kit.ingest_ports import ASC, audio_unit, config, video_unit
from tests.kit.mp4_reader import read_movie

SOUND = aac.parse_config(ASC)
OPUS = opus.parse_config(b"OpusHead" + struct.pack("<BBHIhB", 1, 2, 312, 48_000, 0, 0))
FRAME_MS = 1024 / 48


def sound_track() -> SoundTrack:
    return SoundTrack(SOUND, 2_000, 1 / 3)


def times(parts: list[Part]) -> list[tuple[int, int]]:
    return [(part.begin, part.end) for part in parts]


def test_pictures_begin_at_a_keyframe_of_a_segment_that_is_free() -> None:
    track = PictureTrack(config(), 2_000, 1 / 3, first_msn=2)
    parts = []
    for ms in range(3_000, 7_000, 40):
        parts += track.add(video_unit(ms, key=ms % 1_000 == 0))
    assert (parts[0].msn, parts[0].begin, parts[0].is_independent) == (2, 4_000, True)


def test_a_track_says_what_a_decoder_needs() -> None:
    track = PictureTrack(config(), 2_000, 1 / 3)
    assert track.codec == "avc1.640028"
    assert read_movie(track.init).timescales == {1: 1000}
    assert len(track.init_id) == 8
    assert track.fps == 25
    assert track.cutter.target == 344  # eight pictures, and room for other rates
    assert sound_track().cutter.target == 16 * 1024


@pytest.mark.parametrize("told", [None, Fraction(0), Fraction(90_000)], ids=str)
def test_the_rate_of_the_template_counts_where_the_record_has_none(told: Fraction | None) -> None:
    """libx264 writes 90,000 where it is not told a rate."""
    track = PictureTrack(replace(config(), fps=told), 2_000, 1 / 3, fps=Fraction(50))
    assert track.fps == 50


def test_the_target_stays_when_the_configuration_changes() -> None:
    assert PictureTrack(config(), 2_000, 1 / 3, target=500).cutter.target == 500
    assert SoundTrack(SOUND, 2_000, 1 / 3, target=4096).cutter.target == 4096


def test_sound_that_came_by_another_rendition_is_dropped() -> None:
    once, twice = sound_track(), sound_track()
    units = [audio_unit(round(n * FRAME_MS)) for n in range(200)]
    first = [part for unit in units for part in once.add(unit)]
    both = [part for unit in units for part in (*twice.add(unit), *twice.add(unit))]
    assert both == first
    assert len(first) > 10


@given(st.lists(st.floats(0, 3_000), min_size=1, max_size=8))
def test_where_sound_does_not_come_there_is_silence(gaps: list[float]) -> None:
    track, parts, at = sound_track(), [], 0.0
    for gap in gaps:
        for _ in range(20):
            parts += track.add(audio_unit(round(at)))
            at += FRAME_MS
        at += gap
    parts += track.finish()
    for before, after in pairwise(times(parts)):
        assert before[1] == after[0]
    assert {s.duration for part in parts for s in read_movie(part.data).samples} == {1024}
    assert abs(parts[-1].end / 48 - (at - gaps[-1])) <= 41


def test_sound_that_stops_is_silent_while_pictures_come_and_then_goes_on() -> None:
    track, parts = sound_track(), []
    for n in range(100):
        parts += track.add(audio_unit(round(n * FRAME_MS)))
    for ms in range(0, 8_000, 40):
        parts += track.picture_at(ms)
    assert parts[-1].end / 48 > 8_000 - SILENT_MS - 400
    for ms in range(8_000, 10_000, 21):
        parts += track.add(audio_unit(ms))
    assert parts[-1].end / 48 > 9_500


def test_sound_that_is_always_late_is_waited_for_longer() -> None:
    track = sound_track()
    for n in range(1_000):
        ms = round(n * FRAME_MS)
        track.add(audio_unit(ms, b"real"))
        track.picture_at(ms + SILENT_MS + 300)
    parts = []
    for n in range(1_000, 1_200):
        parts += track.add(audio_unit(round(n * FRAME_MS), b"real"))
        parts += track.picture_at(round(n * FRAME_MS) + SILENT_MS + 300)
    samples = [s.data for part in parts for s in read_movie(part.data).samples]
    assert set(samples) == {b"real"}


def test_a_gap_that_is_too_long_stays_one() -> None:
    track = sound_track()
    track.add(audio_unit(0))
    track.add(audio_unit(MAX_FILLED_MS + 1_000))
    (part,) = track.finish()[-1:]
    assert part.begin > MAX_FILLED_MS * 48 or part.end > MAX_FILLED_MS * 48


def test_opus_is_cut_by_what_its_packets_say() -> None:
    track, parts = SoundTrack(OPUS, 2_000, 1 / 3), []
    for n in range(200):
        parts += track.add(audio_unit(20 * n, bytes((0xFC, 0, 0)), codec=AudioCodec.OPUS))
    assert {part.end - part.begin for part in parts if not part.is_last} == {17 * 960}


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(ProtocolError):
        SoundTrack(AudioConfig(AudioCodec.AAC, b"", sample_rate=48_000, channels=2), 2_000, 1 / 3)


def test_where_no_sound_comes_at_all_there_is_silence_from_the_first_picture_on() -> None:
    track = SoundTrack(SOUND, 2_000, 1 / 3, begin_ms=4_000)
    parts = [part for ms in range(4_000, 8_000, 40) for part in track.picture_at(ms)]
    assert parts[0].begin == 4_000 * 48
    assert 8_000 - SILENT_MS - 400 < parts[-1].end / 48 < 8_000 - SILENT_MS + 40

"""egress/record/recorded_file.py: a file alone; test_recorder.py has it within a stream."""

from dataclasses import replace

from common.codecs import aac
from common.media.units import AudioCodec, AudioConfig
from egress.record.recorded_file import MAX_HELD, RecordedFile
from tests.kit.ingest_ports import ASC, audio_unit, config, video_unit
from tests.kit.mp4_reader import read_movie

SOUND = aac.parse_config(ASC)


def test_sound_before_its_begin_is_in_the_file_before() -> None:
    file = RecordedFile(config(), SOUND, 1000, None)
    file.add(video_unit(1000, key=True))
    assert file.add(audio_unit(990)) == b""
    assert file.late == 1


def test_where_the_sound_of_the_file_before_ended_the_next_one_takes_it() -> None:
    file = RecordedFile(config(), SOUND, 1000, 900)
    file.add(video_unit(1000, key=True))
    file.add(audio_unit(895))
    movie = read_movie(file.finish())
    assert (file.late, len(movie.of(2)), movie.of(1)[0].dts) == (0, 1, 140)


def test_it_does_not_hold_back_without_end() -> None:
    file = RecordedFile(config(), SOUND, 0, None)
    made = [file.add(video_unit(0, key=True))]
    made += [file.add(audio_unit(at)) for at in range(MAX_HELD)]
    assert sum(map(bool, made)) >= 1


def test_sound_that_is_in_no_table_is_left_out() -> None:
    for codec in (AudioCodec.MP3, AudioCodec.OPUS):
        file = RecordedFile(config(), AudioConfig(codec), 0, None)
        file.add(video_unit(0, key=True))
        file.add(replace(audio_unit(0), codec=codec))
        assert set(read_movie(file.finish()).timescales) == {1}

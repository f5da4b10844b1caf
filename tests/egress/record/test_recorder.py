"""egress/record/recorder.py, recorded_file.py: when files begin and end, and what is in them."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.config.recording import Recording
from common.ipc.identity import StreamId
from common.ipc.media_messages import HEADER, KEY
from common.ipc.record_messages import RecordState
from egress.record.recorder import (
    MOST_RETRY_S,
    NO_TRACK,
    RETRY_S,
    Begin,
    Command,
    Finish,
    Recorder,
    Write,
)
from egress.streams.tag import AUDIO, VIDEO, Config, Tag
from tests.kit.egress import made_tag
from tests.kit.http_viewer import audio_header, picture_tag, sound_tag, video_header
from tests.kit.ingest_ports import SPS_720
from tests.kit.mp4_reader import Movie, read_movie

RULE = Recording("/r", rotate_s=10.0)
SILENT = Config(video=made_tag(VIDEO, 0, HEADER, video_header()))
CONFIG = SILENT._replace(audio=made_tag(AUDIO, 0, HEADER, audio_header()))
FRAME_MS = 1024 / 48


class Rig:
    """A recorder, and the files that its commands make."""

    def __init__(self, rule: Recording = RULE, config: Config = CONFIG) -> None:
        self.recorder = Recorder(StreamId("live/a"), "720p", rule, Path("/r/live/a/720p"), 0.0)
        self.recorder.configure(config)
        self.now = 0.0
        self.files: list[bytes] = []
        self.open: bytes | None = None
        self.ends: list[Finish] = []

    def give(self, *tags: Tag, seconds: float = 0.0) -> list[Command]:
        self.now += seconds
        return self.run(self.recorder.append(tags, self.now, 1_764_500_000.0 + self.now))

    def end(self) -> list[Command]:
        return self.run(self.recorder.end("the end", self.now))

    def run(self, commands: list[Command]) -> list[Command]:
        for command in commands:
            match command:
                case Begin():
                    assert self.open is None
                    self.open = b""
                case Write(data):
                    assert self.open is not None
                    read_movie(self.open + data)  # each prefix plays
                    self.open += data
                    self.recorder.written(len(data), self.now)
                case Finish():
                    assert self.open is not None
                    self.files.append(self.open)
                    self.ends.append(command)
                    self.open = None
        return commands

    @property
    def movies(self) -> list[Movie]:
        return [read_movie(data) for data in self.files]


def media(seconds: float, *, gop: int = 10, lag_ms: int = 0, begin_ms: int = 0) -> list[Tag]:
    """Ten pictures a second and their sound, which comes `lag_ms` behind."""
    pictures = [
        picture_tag(begin_ms + at * 100, key=at % gop == 0) for at in range(int(seconds * 10))
    ]
    sound = [
        sound_tag(begin_ms + round(at * FRAME_MS)) for at in range(int(seconds * 1000 / FRAME_MS))
    ]
    order = [(tag.dts_ms, 0, tag) for tag in pictures]
    order += [(tag.dts_ms + lag_ms, 1, tag) for tag in sound]
    return [tag for _, _, tag in sorted(order, key=lambda one: one[:2])]


def test_a_file_is_written_a_second_at_a_time_and_its_times_begin_with_it() -> None:
    rig = Rig()
    rig.give(*media(3.5, begin_ms=7_000))
    assert rig.recorder.state is RecordState.RECORDING
    rig.end()
    (movie,) = rig.movies
    assert [sample.dts for sample in movie.of(1)] == [at * 100 for at in range(35)]
    assert len(movie.of(2)) == int(3500 / FRAME_MS)
    assert 4 <= len(movie.numbers) <= 7
    assert [(end.seconds, end.reason) for end in rig.ends] == [(3.4, "the end")]
    assert rig.recorder.status(9.0).file == "/r/live/a/720p/20251130T105320.000Z.mp4"


def test_nothing_is_written_before_a_keyframe() -> None:
    rig = Rig()
    assert rig.give(picture_tag(0), sound_tag(0)) == []
    assert (rig.recorder.state, rig.recorder.dropped) == (RecordState.WAITING, 1)


@given(
    st.floats(1, 5),
    st.integers(0, 200),
    st.integers(3, 25),
    st.lists(st.integers(1, 40), max_size=9),
)
def test_files_have_all_that_comes_once_however_it_is_cut(
    rotate_s: float, lag_ms: int, gop: int, batches: list[int]
) -> None:
    rig = Rig(replace(RULE, rotate_s=rotate_s))
    tags = media(12.0, gop=gop, lag_ms=lag_ms)
    for size in batches:
        rig.give(*tags[:size], seconds=1.0)
        del tags[:size]
    rig.give(*tags, seconds=1.0)
    rig.end()
    assert sum(len(movie.of(1)) for movie in rig.movies) == 120
    assert sum(len(movie.of(2)) for movie in rig.movies) == int(12_000 / FRAME_MS)
    for movie, end in zip(rig.movies[:-1], rig.ends, strict=False):
        assert movie.of(1)[0].is_key
        length_ms = sum(sample.duration for sample in movie.of(1))
        assert length_ms == end.seconds * 1000  # up to the next file's first picture
        assert rotate_s * 1000 <= length_ms < rotate_s * 1000 + gop * 100
    for movie in rig.movies:
        assert min(sample.dts for sample in movie.of(1)) <= 1000


@given(st.integers(1, 30), st.integers(200, 3000))
def test_a_file_is_no_larger_than_its_size_where_groups_of_pictures_are_alike(
    gop: int, limit: int
) -> None:
    rig = Rig(replace(RULE, rotate_s=1e6, rotate_bytes=limit), SILENT)
    rig.give(*(picture_tag(at * 100, key=at % gop == 0) for at in range(120)))
    rig.end()
    of_group = gop * 14
    for movie in rig.movies[:-1]:
        coded = sum(len(sample.data) for sample in movie.of(1))
        assert coded <= max(limit, of_group)
        assert coded + of_group > limit  # and none is cut too early


def test_a_publisher_that_comes_back_goes_on_in_the_same_file() -> None:
    rig = Rig()
    rig.give(*media(2.0))
    rig.recorder.configure(CONFIG._replace(video=made_tag(VIDEO, 5_000, HEADER, video_header())))
    rig.give(*media(2.0, begin_ms=5_000))
    rig.end()
    (movie,) = rig.movies
    times = [sample.dts for sample in movie.of(1)]
    assert (times[19], times[20]) == (1900, 5000)
    assert movie.of(1)[19].duration == 3100


def test_another_size_begins_another_file() -> None:
    rig = Rig(config=SILENT)
    rig.give(picture_tag(0, key=True), picture_tag(100))
    rig.recorder.configure(Config(video=made_tag(VIDEO, 0, HEADER, video_header(SPS_720))))
    rig.give(picture_tag(200, key=True), seconds=1.0)
    rig.end()
    assert [len(movie.of(1)) for movie in rig.movies] == [2, 1]
    assert rig.ends[0].reason == "the stream has other tracks"


def test_sound_whose_header_comes_behind_the_first_picture_is_in_the_file() -> None:
    rig = Rig(config=SILENT)
    rig.give(picture_tag(0, key=True))
    rig.recorder.configure(CONFIG)
    rig.give(*media(2.0)[1:])
    rig.end()
    (movie,) = rig.movies
    assert len(movie.of(2)) == int(2000 / FRAME_MS)


def test_what_cannot_be_written_is_tried_again_more_and_more_rarely() -> None:
    rig = Rig(config=SILENT)
    assert isinstance(rig.give(picture_tag(0, key=True))[0], Begin)
    waits, key_ms = [], 100
    for _ in range(6):
        rig.open = None
        rig.recorder.failed("no space left on device", rig.now)
        assert rig.recorder.state is RecordState.FAILED
        failed_at = rig.now
        while not rig.give(picture_tag(key_ms, key=True), seconds=0.5):
            key_ms += 100
        waits.append(rig.now - failed_at)
    assert waits == [RETRY_S, 4, 8, 16, MOST_RETRY_S, MOST_RETRY_S]
    assert rig.recorder.status(rig.now).reason == "no space left on device"
    rig.give(*(picture_tag(key_ms + at * 100) for at in range(1, 120)))
    assert (rig.recorder.state, rig.recorder.reason) == (RecordState.RECORDING, "")


def test_a_codec_without_a_track_is_said_and_writes_nothing() -> None:
    rig = Rig(config=Config(video=made_tag(VIDEO, 0, HEADER, b"\x24" + bytes(4))))
    assert rig.give(made_tag(VIDEO, 0, KEY, picture_tag(0, key=True).body)) == []
    assert (rig.recorder.state, rig.recorder.reason) == (RecordState.FAILED, NO_TRACK)


def test_what_cannot_be_read_is_counted() -> None:
    rig = Rig()
    rig.give(made_tag(VIDEO, 0, KEY, b""), made_tag(AUDIO, 0, 0, b""))
    assert rig.recorder.unreadable == pytest.approx(1, abs=1)
    assert rig.recorder.state is RecordState.WAITING

"""egress/streams/gop_buffer.py: the GOP that is kept, and the configuration in force in it."""

import pytest

from common.ipc.media_messages import HEADER, KEY
from common.media import gop_buffer
from common.media.last_gops import MAX_BYTES
from egress.streams.gop_buffer import GopBuffer
from egress.streams.tag import AUDIO, DATA, VIDEO, Change, Config
from tests.kit.egress import AUDIO_HEADER, VIDEO_HEADER, made_tag, picture, sound

VIDEO_CONFIG = made_tag(VIDEO, 0, HEADER, VIDEO_HEADER)
AUDIO_CONFIG = made_tag(AUDIO, 0, HEADER, AUDIO_HEADER)


class Gop(GopBuffer):
    """A buffer that is given the fields of one tag after the other."""

    def add(self, tag_type: int, dts_ms: int, flags: int, body: bytes) -> None:
        self.append(made_tag(tag_type, dts_ms, flags, body))


def fill(frames: int, step_ms: int = 40) -> Gop:
    made = Gop()
    for i in range(frames):
        made.add(VIDEO, i * step_ms, KEY if i == 0 else 0, picture(f"v{i}", i == 0))
    return made


def test_a_gop_begins_anew_at_each_keyframe() -> None:
    made = fill(3)
    assert [tag.dts_ms for tag in made.tags] == [0, 40, 80]
    made.add(VIDEO, 120, KEY, picture("v3", True))
    assert [tag.dts_ms for tag in made.tags] == [120]


def test_what_comes_before_the_first_keyframe_is_no_start() -> None:
    made = Gop()
    made.configure(Config(video=VIDEO_CONFIG))
    made.add(AUDIO, 0, 0, sound("a0"))
    assert not made.tags


def test_a_gop_too_long_in_time_is_forgotten_until_the_next_keyframe() -> None:
    made = fill(2)
    made.add(VIDEO, gop_buffer.MAX_GOP_MS + 1, 0, picture("v"))
    assert not made.tags
    made.add(VIDEO, gop_buffer.MAX_GOP_MS + 40, KEY, picture("v", True))
    assert len(made.tags) == 1


def test_of_a_gop_too_long_its_keyframe_is_left_as_a_still_of_now() -> None:
    made = Gop()
    made.configure(Config(video=VIDEO_CONFIG))
    made.add(VIDEO, 0, KEY, picture("v", True))
    assert (made.is_still, made.still) == (False, None)
    made.configure(Config(video=VIDEO_CONFIG, audio=AUDIO_CONFIG))
    for at_ms in (gop_buffer.MAX_GOP_MS + 1, gop_buffer.MAX_GOP_MS + 41):
        made.add(VIDEO, at_ms, 0, picture("v"))
        assert made.is_still
        assert made.still is not None
        still, config = made.still
        assert (still.dts_ms, still.body, still.is_key) == (at_ms, picture("v", True), True)
        assert config == Config(video=VIDEO_CONFIG, audio=AUDIO_CONFIG)
    made.add(VIDEO, gop_buffer.MAX_GOP_MS + 81, KEY, picture("v", True))
    assert (made.is_still, made.still) == (False, None)


def test_audio_that_leads_makes_no_gop_longer() -> None:
    made = Gop()
    made.add(VIDEO, 0, KEY, picture("v", True))
    for at_ms in (0, 5000, 9000, 14_000, 19_000):
        made.add(AUDIO, 9000 + at_ms, 0, sound("a"))
    assert len(made.tags) == 6
    made.add(AUDIO, 9000 + gop_buffer.MAX_GOP_MS + 1, 0, sound("a"))
    assert not made.tags, "video that stopped keeps no audio for ever"


@pytest.mark.parametrize("jump_ms", [gop_buffer.MAX_GOP_MS - 400, gop_buffer.MAX_GOP_MS, 60_000])
def test_audio_whose_clock_was_set_makes_no_gop_longer(jump_ms: int) -> None:
    made = fill(2)
    for at_ms in (0, 500, 500 + jump_ms, 520 + jump_ms):
        made.add(AUDIO, at_ms, 0, sound("a"))
    assert len(made.tags) == 6
    made.add(AUDIO, 500 + jump_ms + gop_buffer.MAX_GOP_MS + 1, 0, sound("a"))
    assert len(made.tags) == 7, "another jump"


def test_pictures_that_are_far_apart_are_no_start() -> None:
    made = fill(2)
    made.add(VIDEO, 60_000, 0, picture("v"))
    assert not made.tags


def test_data_messages_of_any_time_make_no_gop_longer() -> None:
    made = fill(2)
    for at_ms in (0, gop_buffer.MAX_GOP_MS + 1):
        made.add(DATA, at_ms, 0, b"data")
    assert len(made.tags) == 4


def test_a_gop_too_long_in_entries_or_bytes_is_forgotten() -> None:
    assert not fill(gop_buffer.MAX_GOP_ENTRIES + 1, step_ms=1).tags
    made = fill(1)
    for i in range(5):
        made.add(VIDEO, i + 1, 0, bytes(gop_buffer.MAX_GOP_BYTES // 4))
    assert not made.tags


def test_a_gop_begins_with_the_configuration_in_force_and_notes_where_it_changes() -> None:
    made = Gop()
    first, second = Config(video=VIDEO_CONFIG), Config(video=VIDEO_CONFIG, audio=AUDIO_CONFIG)
    made.configure(first)
    made.add(VIDEO, 0, KEY, picture("v0", True))
    made.add(VIDEO, 40, 0, picture("v1"))
    made.configure(first)
    made.configure(second)
    made.add(AUDIO, 45, 0, sound("a0"))
    assert made.changes == [Change(0, first), Change(2, second)]
    made.add(VIDEO, 80, KEY, picture("v2", True))
    assert made.changes == [Change(0, second)]


def test_a_gop_that_is_forgotten_keeps_no_changes_and_the_configuration_in_force() -> None:
    made = fill(gop_buffer.MAX_GOP_ENTRIES + 1, step_ms=1)
    config = Config(video=VIDEO_CONFIG)
    made.configure(config)
    assert list(made.changes) == []
    assert made.config is config


def test_a_configuration_makes_no_gop_longer() -> None:
    made = fill(2)
    made.configure(Config(video=VIDEO_CONFIG))
    assert [tag.dts_ms for tag in made.tags] == [0, 40]


def test_the_whole_gops_before_are_kept_where_that_is_wanted() -> None:
    made, other = Gop(keeps_last=True), Gop()
    for buffer in (made, other):
        for number in range(7):
            is_key = number % 3 == 0
            buffer.add(VIDEO, number * 40, KEY if is_key else 0, picture("v", is_key))
    assert [[tag.dts_ms for tag in tags] for tags, _ in made.last] == [[0, 40, 80], [120, 160, 200]]
    assert all(changes == [Change(0, Config())] for _, changes in made.last)
    assert [tag.dts_ms for tag in made.tags] == [240]
    assert list(other.last) == []


@pytest.mark.parametrize(("size", "count"), [(MAX_BYTES - 1_000, 1), (MAX_BYTES, 0)])
def test_a_last_gop_that_is_too_large_is_not_kept(size: int, count: int) -> None:
    made = Gop(keeps_last=True)
    made.add(VIDEO, 0, KEY, picture("v", True))
    made.add(VIDEO, 40, 0, bytes(size))
    made.add(VIDEO, 80, KEY, picture("v", True))
    assert len(list(made.last)) == count


def test_of_a_gop_that_outgrew_the_limits_none_is_kept() -> None:
    made = Gop(keeps_last=True)
    made.add(VIDEO, 0, KEY, picture("v", True))
    made.add(VIDEO, gop_buffer.MAX_GOP_MS + 1, 0, picture("v"))
    made.add(VIDEO, gop_buffer.MAX_GOP_MS + 41, KEY, picture("v", True))
    assert list(made.last) == []

"""egress/hls/feeds.py: renditions on demand are taken while they are asked for, and cut anew."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egress.hls.playlists import for_viewer
from egress.hls.stream import SOUND
from tests.kit.hls_demand import DemandRig
from tests.kit.hls_playlist import read_media
from tests.kit.hls_rig import NAMES, TEMPLATE

IDLE_S = 5.0


def test_a_rendition_goes_with_its_last_viewer_and_comes_back_on_the_same_grid() -> None:
    demand = DemandRig()
    demand.hls.ask("720p", 4.0)
    demand.play(4_000, 8_000)
    assert demand.hls.is_playable("720p")
    demand.hls.ask("360p", 8.0)
    demand.play(8_000, 14_000)
    demand.hls.ask("360p", 14.0)
    demand.hls.rest_unasked(14.0, IDLE_S)
    assert not demand.rig.stream.renditions["720p"].is_subscribed
    assert not demand.hls.is_playable("720p")
    assert demand.hls.is_there("720p"), "it is listed all the same"
    demand.play(14_000, 30_600)
    demand.hls.ask("720p", 30.6)
    assert not demand.hls.is_playable("720p"), "what was made before is listed no more"
    demand.play(30_600, 32_400)
    assert demand.hls.is_playable("720p")
    playlist = read_media(for_viewer(demand.hls.media("720p"), "").encode())
    assert playlist.segments[0].number == 15
    assert [one.duration for one in playlist.complete] == [2.0]
    assert playlist.segments[0].parts[0].is_gap, "before it was made there is nothing"
    other = demand.hls.tracks["360p"].window.segment(15)
    assert other is not None
    assert demand.hls.tracks["720p"].window.segments[0].begin_s == other.begin_s
    assert not list(demand.hls.numbering.discontinuities)


def test_the_last_feed_stays_as_the_sound_comes_with_it() -> None:
    demand = DemandRig()
    demand.hls.ask("360p", 4.0)
    demand.play(4_000, 6_000)
    demand.hls.rest_unasked(100.0, IDLE_S)
    assert "360p" in demand.hls.feeds
    demand.hls.ask("720p", 100.0)
    demand.hls.rest_unasked(100.0, IDLE_S)
    assert "360p" not in demand.hls.feeds
    assert "720p" in demand.hls.feeds


def test_what_was_kept_from_before_a_rest_is_not_taken_for_what_comes_now() -> None:
    demand = DemandRig()
    demand.hls.ask("360p", 4.0)
    demand.hls.ask("720p", 4.0)
    demand.play(4_000, 7_000)
    demand.hls.ask("360p", 20.0)
    demand.hls.rest_unasked(20.0, IDLE_S)
    # this process is sent no more of it, and is not told that it rests: its last GOP is kept
    demand.made -= {"720p"}
    demand.rig.play(7_000, 20_000, names=["360p"])
    demand.hls.ask("720p", 20.0)
    demand.rig.play(20_000, 22_400)
    assert [one.msn for one in demand.hls.tracks["720p"].window.segments] == [10, 11]


def test_what_rests_ends_with_the_stream() -> None:
    demand = DemandRig()
    demand.hls.ask("360p", 4.0)
    demand.play(4_000, 6_500)
    demand.hls.leave()
    assert demand.hls.has_ended


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["", *NAMES]), st.integers(2, 60)), min_size=1, max_size=12)
)
def test_whatever_is_asked_for_numbers_are_those_of_stream_time(
    steps: list[tuple[str, int]],
) -> None:
    """Of each rendition they rise, a segment begins on the grid, and parts fill its time."""
    demand = DemandRig()
    now_ms = 4_000
    demand.hls.ask("360p", now_ms / 1000)
    for name, tenths in steps:
        if name:
            demand.hls.ask(name, now_ms / 1000)
        demand.hls.rest_unasked(now_ms / 1000, 1.0)
        demand.play(now_ms, now_ms + tenths * 100)
        now_ms += tenths * 100
        for track in (demand.hls.tracks[one] for one in NAMES):
            segments = track.window.segments
            for before, after in zip(segments, list(segments)[1:], strict=False):
                assert after.msn == before.msn + 1
            for one in segments:
                grid = Fraction(TEMPLATE.gop_ms * one.msn, 1000)
                assert one.begin_s == pytest.approx(float(grid), abs=0.05)
                if one.is_complete and one is not segments[-1]:
                    parts_s = sum(part.seconds for part in one.parts)
                    assert one.is_gap or parts_s == pytest.approx(one.seconds, abs=0.05)
    assert SOUND in demand.hls.tracks

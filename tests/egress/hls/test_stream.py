"""egress/hls/stream.py: all tracks of a stream on one grid, whatever happens to it."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from common.config.ladder import SOURCE
from egress.hls.playlists import for_viewer
from egress.hls.readiness import lacks
from egress.hls.stream import SOUND
from tests.kit.egress import STREAM
from tests.kit.hls_playlist import Broken, MediaPlaylist, read_media
from tests.kit.hls_rig import NAMES, HlsRig
from tests.kit.mp4_reader import read_movie


def playing(begin_ms: int = 4_000, end_ms: int = 9_000, *, has_sound: bool = True) -> HlsRig:
    rig = HlsRig()
    rig.headers()
    if has_sound:
        rig.sound_header()
    rig.play(begin_ms, end_ms, has_sound=has_sound)
    return rig


def test_each_rendition_and_the_sound_are_tracks_of_the_same_segments() -> None:
    rig = playing()
    assert set(rig.hls.tracks) == {*NAMES, SOUND}
    for track in rig.hls.tracks.values():
        assert [(s.msn, s.is_gap) for s in track.window.segments] == [
            (2, False),
            (3, False),
            (4, False),
        ]
    assert not lacks(rig.hls, rig.hls.listed, 9.0)
    assert rig.hls.listed == list(NAMES)


def test_a_playlist_waits_for_the_first_whole_segment() -> None:
    assert lacks(playing(4_000, 5_900).hls, NAMES, 9.0)
    rig = playing(4_000, 6_400)
    assert not lacks(rig.hls, NAMES, 9.0)
    text = rig.hls.media("720p")
    assert '#EXT-X-PART:DURATION=0.32002,URI="3.0.m4s\0",INDEPENDENT=YES' in text
    assert '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="3.1.m4s\0"' in text


def test_a_playlist_waits_for_the_first_whole_segment_of_sound() -> None:
    found = set()
    for end_ms in range(5_960, 6_600, 40):
        rig = HlsRig()
        rig.headers()
        rig.sound_header()
        rig.play(4_000, end_ms, sound_late_ms=300)
        must_wait = lacks(rig.hls, NAMES, 9.0)
        assert must_wait or rig.hls.is_playable(SOUND), end_ms
        found.add(must_wait)
    assert found == {True, False}


def test_a_playlist_is_at_least_as_long_as_players_keep_from_its_end() -> None:
    rig = playing(5_500, 6_700)
    assert rig.hls.tracks["720p"].window.segments[0].is_complete
    assert lacks(rig.hls, NAMES, 9.0), "they would begin in front of it"
    rig.play(6_700, 7_400)
    assert not lacks(rig.hls, NAMES, 9.0)


def test_the_first_viewer_of_a_stream_that_runs_waits_for_nothing() -> None:
    rig = playing(2_000, 10_900)
    hls = rig.cut_anew()
    assert not lacks(hls, hls.listed, 0.0)
    for name, track in hls.tracks.items():
        *whole, current = track.window.segments
        found = [(each.msn, each.is_complete) for each in whole]
        assert found == [(2, True), (3, True), (4, True)], name
        assert whole[0].begin_s == 4.0, name
        assert (current.msn, len(current.parts)) == (5, 2), name
        media = read_media(for_viewer(hls.media(name), "").encode())
        assert media.complete[0].number == 2


def test_a_stream_without_sound_is_known_by_its_source() -> None:
    rig = playing(2_000, 6_900, has_sound=False)
    assert lacks(rig.cut_anew(), NAMES, 0.0), "the sound may still come"
    rig.headers(names=[SOURCE])
    rig.picture(SOURCE, 6_000, is_key=True)
    assert not lacks(rig.hls, NAMES, 0.0)


def test_a_segment_can_be_played_after_its_init() -> None:
    rig = playing()
    for name, track in rig.hls.tracks.items():
        segment = track.window.segment(3)
        assert segment is not None
        movie = read_movie(track.window.inits[segment.init_id] + segment.data)
        samples = movie.samples
        scale = next(iter(movie.timescales.values()))
        assert abs(samples[0].dts / scale - 6.0) < 0.05
        assert samples[0].is_key
        assert len(samples) == (50 if name != SOUND else 94)


EPOCH_MS = 1_790_000_000_123
BASE = EPOCH_MS // 2_000


def begun(epoch_ms: int | None, begin_ms: int, end_ms: int) -> HlsRig:
    rig = HlsRig(epoch_ms=epoch_ms)
    rig.headers()
    rig.sound_header()
    rig.play(begin_ms, end_ms)
    return rig


def numbers(rig: HlsRig, name: str = "720p") -> list[int]:
    return [segment.msn for segment in rig.hls.tracks[name].window.segments]


def test_segments_are_numbered_by_the_epoch_whoever_cuts_them_from_when_on() -> None:
    here, there = begun(EPOCH_MS, 4_000, 9_000), begun(EPOCH_MS, 6_500, 9_000)
    for name in here.hls.tracks:
        assert numbers(here, name) == [BASE + 2, BASE + 3, BASE + 4]
        assert numbers(there, name) == [BASE + 3, BASE + 4]
    assert f"#EXT-X-MEDIA-SEQUENCE:{BASE + 2}\n" in here.hls.media("720p")
    assert "#EXT-X-PROGRAM-DATE-TIME:2026-09-21T14:13:24.123Z" in here.hls.media("720p")


def test_without_an_epoch_the_first_picture_s_arrival_stands_for_it() -> None:
    rig = begun(None, 4_000, 9_000)
    rig.hls = rig.cut_anew()
    assert numbers(rig)[-1] == 4
    assert rig.hls.numbering.unix_offset_s == 0.0


def test_a_new_start_goes_on_above_with_a_discontinuity() -> None:
    old = begun(EPOCH_MS, 4_000, 9_000)
    old.lose_worker()
    old.headers("b")
    old.play(9_000, 14_000)
    last = numbers(old)[-1]
    new = HlsRig(epoch_ms=EPOCH_MS + 60_000)
    hls = new.cut_anew(old.hls.numbering.earlier)
    new.headers()
    new.sound_header()
    new.play(500, 5_000)
    for name in hls.tracks:
        media = read_media(for_viewer(hls.media(name), "").encode())
        assert media.first > last
        assert media.discontinuities == 1, "that of the start before"
        assert media.segments[0].discontinuities == 2
    assert numbers(new) == [BASE + 30, BASE + 31, BASE + 32]


def test_a_start_that_is_cut_again_has_no_further_discontinuity() -> None:
    rig = begun(EPOCH_MS, 4_000, 9_000)
    again = rig.cut_anew(rig.hls.numbering.earlier)
    assert "DISCONTINUITY" not in again.media("720p")


def test_another_configuration_is_a_discontinuity_in_every_track_at_one_number() -> None:
    rig = playing(4_000, 9_000)
    rig.lose_worker()
    rig.headers("b")
    rig.play(9_000, 14_000)
    for name, track in rig.hls.tracks.items():
        text = rig.hls.media(name)
        assert text.count("#EXT-X-DISCONTINUITY\n") == 1
        before = text.partition("#EXT-X-DISCONTINUITY\n")[0]
        assert before.rstrip().endswith("4.m4s\0"), name
        assert len(track.window.inits) == (1 if name == SOUND else 2)
        assert [s.msn for s in track.window.segments] == [2, 3, 4, 5, 6]


def test_the_same_configuration_goes_on_after_the_loss_of_a_worker() -> None:
    rig = playing(4_000, 9_000)
    rig.lose_worker()
    rig.headers()
    rig.play(9_500, 14_000)
    for name in rig.hls.tracks:
        assert "DISCONTINUITY" not in rig.hls.media(name)
        assert "#EXT-X-GAP" not in rig.hls.media(name).partition("2.m4s")[2]


def test_a_rendition_that_is_gone_ends_and_the_others_go_on() -> None:
    rig = playing()
    rig.change_ladder(("720p",))
    rig.play(9_000, 10_000)
    assert rig.hls.media("360p").splitlines()[-1].startswith("#EXT-X-RENDITION-REPORT") is True
    assert "#EXT-X-ENDLIST" in rig.hls.media("360p")
    assert "#EXT-X-ENDLIST" not in rig.hls.media("720p")
    assert rig.hls.listed == ["720p"]


def test_the_end_of_a_stream_ends_every_track_and_tells_of_each() -> None:
    rig = playing()
    rig.changed.clear()
    rig.end()
    assert rig.hls.has_ended
    assert set(rig.changed) >= {*NAMES, SOUND}
    assert all("#EXT-X-ENDLIST" in rig.hls.media(name) for name in rig.hls.tracks)


def test_who_leaves_is_no_subscriber_any_more() -> None:
    rig = playing()
    assert rig.stream.renditions["720p"].is_subscribed
    rig.hls.leave()
    assert not any(one.is_subscribed for one in rig.stream.renditions.values())
    assert rig.hls.has_ended


def test_the_source_comes_when_it_is_asked_for() -> None:
    rig = playing()
    assert SOURCE not in rig.hls.tracks
    rig.hls.follow(with_source=True)
    rig.headers(names=(SOURCE,))
    rig.play(9_000, 12_000, names=(SOURCE,))
    assert rig.hls.is_playable(SOURCE)
    assert SOURCE not in rig.hls.listed


def test_a_stream_without_renditions_lists_its_source() -> None:
    rig = HlsRig(names=())
    rig.headers(names=(SOURCE,))
    rig.play(4_000, 6_500, names=(SOURCE,), has_sound=False)
    assert rig.hls.listed == [SOURCE]
    assert not lacks(rig.hls, rig.hls.listed, 9.0)


def test_a_picture_has_the_unix_time_at_which_it_came() -> None:
    rig = playing()
    assert "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:04.000Z" in rig.hls.media("720p")
    assert STREAM not in rig.hls.media("720p")


Step = tuple[str, int]
STEPS: dict[str, Callable[[HlsRig, int, int], int]] = {}


def step(call: Callable[[HlsRig, int, int], int]) -> Callable[[HlsRig, int, int], int]:
    STEPS[call.__name__] = call
    return call


@step
def goes_on(rig: HlsRig, at: int, more_ms: int) -> int:
    rig.play(at, at + more_ms)
    return at + more_ms


@step
def lacks_sound(rig: HlsRig, at: int, more_ms: int) -> int:
    rig.play(at, at + more_ms, has_sound=False)
    return at + more_ms


@step
def has_a_gap(rig: HlsRig, at: int, more_ms: int) -> int:
    return at + more_ms


@step
def loses_its_worker(rig: HlsRig, at: int, more_ms: int) -> int:
    rig.lose_worker()
    rig.headers()
    return at + 200


@step
def gets_another_worker(rig: HlsRig, at: int, more_ms: int) -> int:
    rig.lose_worker()
    rig.headers("b" if more_ms % 2 else "a")
    return at + 200


@step
def has_its_publisher_back(rig: HlsRig, at: int, more_ms: int) -> int:
    rig.away()
    return at + more_ms


@step
def changes_its_rate(rig: HlsRig, at: int, more_ms: int) -> int:
    rig.play(at, at + more_ms, fps=30)
    return at + more_ms


@step
def loses_a_rendition_and_has_it_back(rig: HlsRig, at: int, more_ms: int) -> int:
    rig.change_ladder(NAMES[:1])
    rig.play(at, at + 500)
    rig.change_ladder(NAMES)
    rig.headers()
    return at + 500


def read(rig: HlsRig, track: str) -> MediaPlaylist | None:
    """A playlist; None: pictures stay away for less than a part, and the one before is short."""
    try:
        return read_media(for_viewer(rig.hls.media(track), "session=t").encode())
    except Broken as broken:
        if broken.section != "4.4.4.9":
            raise
        return None


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(100, 5_000)), max_size=6))
def test_whatever_happens_playlists_hold(steps: list[Step]) -> None:
    rig, at = playing(4_000, 5_000), 5_000
    seen: dict[str, MediaPlaylist] = {}
    for name, more_ms in [*steps, ("goes_on", 3_000)]:
        if name == "loses_a_rendition_and_has_it_back":
            seen.pop(NAMES[1], None)
        at = STEPS[name](rig, at, more_ms)
        for track in rig.hls.tracks:
            now = read(rig, track)
            if now is None:
                continue
            before = seen.get(track, now)
            assert now.first >= before.first
            assert now.discontinuities >= before.discontinuities
            assert (now.target, now.part_target) == (before.target, before.part_target)
            assert now.control == before.control
            seen[track] = now
    numbers = {
        track: {segment.number: segment.discontinuities for segment in playlist.segments}
        for track, playlist in seen.items()
        if track in rig.hls.tracks
    }
    for one in numbers.values():
        for other in numbers.values():
            assert all(one[msn] == other[msn] for msn in one.keys() & other.keys())


def test_sound_that_begins_later_than_the_pictures_is_silent_until_then() -> None:
    rig = HlsRig()
    rig.headers()
    rig.play(4_000, 6_400, has_sound=False)
    assert lacks(rig.hls, NAMES, 0.2)  # it may be on its way
    assert not lacks(rig.hls, NAMES, 0.4)
    rig.sound_header()
    rig.play(6_400, 6_900)
    segment = rig.hls.tracks[SOUND].window.segment(2)
    assert segment is not None
    assert (segment.begin_s, segment.is_complete) == (4.0, True)

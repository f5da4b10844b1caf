"""egress/hls/playlists.py: what a player reads."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress.hls import playlists
from egress.hls.playlists import QUERY, Report, Sound, Variant, for_viewer
from egress.hls.window import Discontinuities, Window, WindowLimits
from tests.egress.hls.test_parts import cut
from tests.egress.hls.test_window import filled, steady
from tests.kit.hls_playlist import MediaPlaylist, read_media

HOLD_BACK_S = 3 * 0.342


def test_a_multivariant_playlist() -> None:
    variant = Variant(
        "720p",
        ["avc1.64001f", "mp4a.40.2"],
        1280,
        720,
        Fraction(30_000, 1001),
        2_500_000,
        2_000_000,
    )
    text = playlists.multivariant([variant], Sound(2, "de"), is_independent=True)
    assert for_viewer(text, "session=t").splitlines() == [
        "#EXTM3U",
        "#EXT-X-VERSION:9",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="sound",NAME="sound",LANGUAGE="de",DEFAULT=YES,'
        'AUTOSELECT=YES,CHANNELS="2",URI="sound/index.m3u8?session=t"',
        "#EXT-X-STREAM-INF:BANDWIDTH=2500000,AVERAGE-BANDWIDTH=2000000,"
        'CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO="sound",'
        "CLOSED-CAPTIONS=NONE",
        "720p/index.m3u8?session=t",
    ]


def test_captions_are_listed_as_a_group_of_their_own() -> None:
    variant = Variant("720p", ["avc1.64001f"], 1280, 720, None, 2, 1)
    text = playlists.multivariant([variant], None, is_independent=True, has_captions=True)
    assert [line for line in text.splitlines() if "CLOSED-CAPTIONS" in line] == [
        '#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID="captions",NAME="CC1",INSTREAM-ID="CC1",'
        "DEFAULT=NO,AUTOSELECT=YES",
        "#EXT-X-STREAM-INF:BANDWIDTH=2,AVERAGE-BANDWIDTH=1,"
        'CODECS="avc1.64001f",RESOLUTION=1280x720,CLOSED-CAPTIONS="captions"',
    ]


def test_a_media_playlist() -> None:
    found = filled(steady(4_000, 6_400))
    text = for_viewer(
        playlists.media(found, 1_700_000_000.0, HOLD_BACK_S, [Report("sound", 3, 0)]), ""
    )
    assert text.splitlines() == [
        "#EXTM3U",
        "#EXT-X-VERSION:9",
        "#EXT-X-TARGETDURATION:2",
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.02600",
        "#EXT-X-PART-INF:PART-TARGET=0.34202",
        "#EXT-X-MEDIA-SEQUENCE:2",
        '#EXT-X-MAP:URI="init-one.mp4"',
        "#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:24.000Z",
        '#EXT-X-PART:DURATION=0.32002,URI="2.0.m4s",INDEPENDENT=YES',
        *[f'#EXT-X-PART:DURATION=0.32002,URI="2.{n}.m4s"' for n in range(1, 6)],
        '#EXT-X-PART:DURATION=0.08002,URI="2.6.m4s"',
        "#EXTINF:2.00000,",
        "2.m4s",
        "#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:26.000Z",
        '#EXT-X-PART:DURATION=0.32002,URI="3.0.m4s",INDEPENDENT=YES',
        '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="3.1.m4s"',
        '#EXT-X-RENDITION-REPORT:URI="../sound/index.m3u8",LAST-MSN=3,LAST-PART=0',
    ]


def read(made: Window) -> MediaPlaylist:
    return read_media(for_viewer(playlists.media(made, 0.0, HOLD_BACK_S), "").encode())


@given(
    st.sampled_from([24, 25, 30, Fraction(30_000, 1001), 60]),
    st.integers(0, 10**6),
)
def test_shaka_takes_each_part_for_where_it_is(fps: Fraction | int, begin: int) -> None:
    """As shaka-player 5.2 computes (`appendBuffer` of its lib/media/media_source_engine.js).

    It asks for a decoder that begins anew, and so loses all up to the next keyframe, where the
    offset that it would like differs by 1 ms from the one in force, to which it adds 1 ms itself.
    """
    first_ms = begin * 2_000
    times = [first_ms + round(1000 * number / fps) for number in range(int(5 * fps))]
    parts = cut(times, 330, is_over=False)
    begins_s = {(part.msn, part.part_index): part.begin / 1000 for part in parts}
    offset_s = 1e9  # in force
    start_s = 0.0  # of the presentation: the first segment that it has seen
    resets = []
    for segment in read(filled(parts)).segments:
        part_s = start_s
        for index, told in enumerate(segment.parts):
            like_s = part_s - begins_s[segment.number, index]
            if abs(offset_s - like_s) >= 0.001:
                offset_s = like_s + (0.001 if like_s < 0 else 0.0)
                resets.append(told.is_independent)
            part_s += told.duration
        start_s += segment.duration
    assert resets
    assert all(resets), "no part but one that begins with a keyframe"


def test_parts_are_listed_near_the_end_alone() -> None:
    found = read(filled(steady(0, 15_000)))
    assert [segment.number for segment in found.segments if segment.parts] == [4, 5, 6, 7]


def test_at_the_end_nothing_is_hinted_at() -> None:
    made = filled(steady(4_000, 7_000))
    made.end()
    text = playlists.media(made, 0.0, HOLD_BACK_S)
    assert "PRELOAD-HINT" not in text
    assert text.endswith("#EXT-X-ENDLIST\n")
    assert not read(made).segments[-1].is_open


def test_a_viewer_of_a_long_window_may_leave_out_what_he_knows() -> None:
    limits = WindowLimits(3_600.0, 1 << 30)
    made = filled(steady(0, 120_100), limits)
    whole, update = (
        playlists.media(made, 0.0, HOLD_BACK_S),
        playlists.media(made, 0.0, HOLD_BACK_S, skips=True),
    )
    assert "CAN-SKIP-UNTIL=12.0" in whole
    assert "SKIP:" not in whole
    skipped = int(update.partition("SKIPPED-SEGMENTS=")[2].partition("\n")[0])
    assert update.count("#EXTINF") == whole.count("#EXTINF") - skipped
    assert update.splitlines()[-1] == whole.splitlines()[-1]
    assert "#EXT-X-MAP" not in update
    short = playlists.media(filled(steady(0, 30_000)), 0.0, HOLD_BACK_S, skips=True)
    assert "SKIP" not in short


def test_a_discontinuity_has_its_number_when_it_is_gone() -> None:
    discontinuities = Discontinuities()
    made = Window(2_000, 0.342, WindowLimits(8.0, 1 << 30), discontinuities)
    made.configure("one", b"1")
    for part in steady(4_000, 8_100):
        made.add(part, 1000)
    discontinuities.add(5)
    made.end_segment()
    made.configure("two", b"2")
    for part in steady(10_000, 14_500):
        made.add(part, 1000)
    text = playlists.media(made, 0.0, HOLD_BACK_S)
    assert "DISCONTINUITY-SEQUENCE" not in text
    at = text.index("#EXT-X-DISCONTINUITY\n")
    assert text[at:].startswith('#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI="init-two.mp4\0"')
    for part in steady(14_500, 30_000):
        made.add(part, 1000)
    assert "#EXT-X-DISCONTINUITY-SEQUENCE:1" in playlists.media(made, 0.0, HOLD_BACK_S)


def test_every_address_takes_the_viewers_query() -> None:
    text = playlists.media(filled(steady(4_000, 6_400)), 0.0, HOLD_BACK_S, [Report("sound", 3, 0)])
    names = text.count(".m4s") + text.count(".mp4") + text.count(".m3u8")
    assert text.count(QUERY) == names
    assert for_viewer(text, "a=1&b=2").count("?a=1&b=2") == names


def test_players_keep_as_far_from_the_end_in_every_track() -> None:
    assert playlists.hold_back_s([0.344, 0.342]) == pytest.approx(3 * 0.34402)
    assert playlists.hold_back_s([0.344, 0.350], 1.03) == 1.03, "it stays"
    assert playlists.hold_back_s([0.344, 1.0], 1.03) == pytest.approx(2.00004), (
        "as long as it is allowed"
    )
    assert playlists.hold_back_s([]) == 0.0

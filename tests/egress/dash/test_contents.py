"""egress/dash/contents.py: a stream as HLS has it, described for DASH."""

import json
from base64 import b64decode
from fractions import Fraction
from xml.etree import ElementTree

import pytest

from common.flv import ad_cue
from common.flv.amf0 import encode
from common.scte35.section import parse
from egress.dash.contents import presentation
from egress.dash.mpd import description
from egress.hls.window import WindowLimits
from tests.kit.hls_rig import LIMITS, NAMES, UNIX_S, HlsRig
from tests.kit.mp4_reader import read_movie
from tests.kit.scte35_writer import insertion

NAMESPACE = "{urn:mpeg:dash:schema:mpd:2011}"


def rig(
    end_ms: int = 9_000, *, has_sound: bool = True, limits: WindowLimits | None = None
) -> HlsRig:
    made = HlsRig(limits=limits) if limits is not None else HlsRig()
    made.headers()
    if has_sound:
        made.sound_header()
    made.play(4_000, end_ms, has_sound=has_sound)
    return made


def test_all_renditions_and_the_sound_are_described() -> None:
    found = presentation(rig().hls, NAMES)
    (period,) = found.periods
    assert (period.first_msn, period.end_msn) == (0, None)
    assert [(one.name, one.width, one.height) for one in period.pictures] == [
        ("720p", 1280, 720),
        ("360p", 1280, 720),  # by the record, which the rig gives both
    ]
    assert period.pictures[0].codec == "avc1.64001f"
    assert period.pictures[0].fps == Fraction(25)
    assert period.sound is not None
    assert (period.sound.codec, period.sound.sample_rate) == ("mp4a.40.2", 48_000)
    assert found.ended_ms is None
    assert found.part_s == pytest.approx(0.344)
    assert found.window_s == pytest.approx(4.7, abs=0.1), "what is there, from 4.0 s on"
    assert found.unix_offset_s == pytest.approx(UNIX_S)


def test_some_renditions_alone_and_no_sound() -> None:
    (period,) = presentation(rig(has_sound=False).hls, ["360p"]).periods
    assert [one.name for one in period.pictures] == ["360p"]
    assert period.sound is None


def test_each_number_is_the_segment_that_begins_then_in_all_tracks() -> None:
    """What a player computes of the description is what it gets: seamless switching rests on it."""
    made = rig(23_000)
    found = presentation(made.hls, NAMES)
    root = ElementTree.fromstring(description(found, UNIX_S + 23.0))
    (period,) = root.iter(NAMESPACE + "Period")
    start_s = float((period.get("start") or "").strip("PTS"))
    begins: dict[int, list[float]] = {}
    for shown in root.iter(NAMESPACE + "Representation"):
        (template,) = shown.iter(NAMESPACE + "SegmentTemplate")
        length_s = int(template.get("duration") or 0) / int(template.get("timescale") or 1)
        first = int(template.get("startNumber") or 0)
        track = made.hls.tracks[shown.get("id") or ""]
        init_id = (template.get("initialization") or "").rpartition("init-")[2][:-4]
        for number in range(6, 11):
            segment = track.window.segment(number)
            assert segment is not None
            movie = read_movie(track.window.inits[init_id] + segment.data)
            (scale,) = movie.timescales.values()
            begins.setdefault(number, []).append(movie.samples[0].dts / scale)
            expected_s = start_s + (number - first) * length_s
            assert 0 <= begins[number][-1] - expected_s < 0.043, "a frame at most"
    for number, (high, low, sound) in begins.items():
        assert high == low == 2.0 * number
        assert abs(sound - high) < 1024 / 48_000


def test_another_configuration_begins_another_period() -> None:
    made = rig(9_000)
    made.lose_worker()
    made.headers("b")
    made.play(10_000, 13_000)
    found = presentation(made.hls, NAMES)
    first, second = found.periods
    assert (first.first_msn, first.end_msn, second.first_msn) == (0, 5, 5)
    assert second.end_msn is None
    assert first.pictures[0].init_id != second.pictures[0].init_id
    assert first.sound == second.sound


def test_a_period_goes_when_its_last_segment_does() -> None:
    made = rig(9_000)
    made.lose_worker()
    made.headers("b")
    made.play(10_000, 40_000)
    (period,) = presentation(made.hls, NAMES).periods
    assert period.first_msn == 5


def test_what_weighs_too_much_reaches_less_far_back() -> None:
    found = presentation(rig(40_000, limits=WindowLimits(60.0, 1)).hls, NAMES)
    assert 4.0 <= found.window_s <= 8.0


def test_two_processes_describe_one_period() -> None:
    """Whenever each of them has begun to cut: a player may go from one to the other."""
    early, late = rig(9_000), HlsRig()
    late.headers()
    late.sound_header()
    late.play(8_000, 13_000)
    (first,), (second,) = (presentation(one.hls, NAMES).periods for one in (early, late))
    assert (first.first_msn, first.end_msn) == (second.first_msn, second.end_msn)
    assert [one.init_id for one in first.pictures] == [one.init_id for one in second.pictures]


def test_sound_is_described_before_a_segment_of_it_is_whole() -> None:
    """No player takes a track that joins a period later."""
    made = HlsRig()
    made.headers()
    made.sound_header()
    made.play(4_000, 5_900)
    made.play(5_900, 6_050, has_sound=False)  # it comes a little later
    assert made.hls.has_sound
    assert not made.hls.is_playable("sound")
    (period,) = presentation(made.hls, NAMES).periods
    assert period.sound is not None


def test_it_reaches_as_far_back_as_there_is_something() -> None:
    for end_ms, expected in ((6_100, 2.0), (8_100, 4.0), (60_000, LIMITS.seconds)):
        found = presentation(rig(end_ms).hls, NAMES)
        assert found.window_s == pytest.approx(expected, abs=0.15)


def test_the_end_is_told() -> None:
    made = rig(9_000)
    made.end()
    found = presentation(made.hls, NAMES)
    assert found.ended_ms == pytest.approx(9_000, abs=50)


def test_nothing_yet_is_nothing_described() -> None:
    assert presentation(HlsRig().hls, NAMES).periods == []


def test_splices_and_cue_points_are_event_streams_of_their_period() -> None:
    made = rig(7_000)
    out, back = insertion(7, 5, duration=10 * 90_000), insertion(7, 6, is_out=0)
    for ms, data in ((6_000, out), (6_500, back)):
        made.tell(ms, ad_cue.encode(data, parse(data), 0, 2_000))
    made.tell(6_700, encode("onCuePoint", {"name": 'a "b" <c>', "break_duration_sec": 3.0}))
    made.play(7_000, 9_000)
    root = ElementTree.fromstring(description(presentation(made.hls, NAMES), UNIX_S + 9.0))
    splices, cues = root.iter(NAMESPACE + "EventStream")
    assert splices.get("schemeIdUri") == "urn:scte:scte35:2014:xml+bin"
    assert splices.get("timescale") == cues.get("timescale") == "1000"
    events = list(splices)
    times = [(event.get("presentationTime"), event.get("duration")) for event in events]
    assert times == [("8000", "10000"), ("8500", None)]
    binary = "{http://www.scte.org/schemas/35/2016}Binary"
    texts = [next(event.iter(binary)).text or "" for event in events]
    assert [b64decode(text) for text in texts] == [out, back]
    assert len({event.get("id") for event in events}) == 2
    (cue,) = cues
    assert (cue.get("presentationTime"), cue.get("duration")) == ("6700", "3000")
    assert json.loads(cue.get("messageData") or "") == {
        "name": 'a "b" <c>',
        "break_duration_sec": 3.0,
    }
    made.play(9_000, 40_000)
    text = description(presentation(made.hls, NAMES), UNIX_S + 40.0)
    assert "EventStream" not in text

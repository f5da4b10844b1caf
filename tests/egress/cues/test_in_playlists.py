"""A publisher's cue points in the HLS playlists of a stream."""

import re

from common.flv import ad_cue
from common.flv.amf0 import encode
from common.scte35.section import parse
from egress.hls.playlists import for_viewer
from egress.hls.stream import SOUND
from tests.kit.hls_playlist import read_media
from tests.kit.hls_rig import NAMES, HlsRig
from tests.kit.scte35_writer import insertion


def cues_of(rig: HlsRig, name: str) -> list[str]:
    text = for_viewer(rig.hls.media(name), "")
    read_media(text.encode())
    return re.findall("#EXT-X-DATERANGE:.*", text)


def test_a_cue_point_is_in_every_track_s_playlist_once_for_as_long_as_its_segment() -> None:
    rig = HlsRig()
    rig.headers()
    rig.sound_header()
    rig.play(4_000, 6_400)
    rig.tell(6_400, encode("onCuePoint", {"name": "break", "break_duration_sec": 30.0}))
    rig.tell(6_400, encode("onTextData", {"text": "hello"}))
    rig.play(6_400, 9_000)
    tracks = (*NAMES, SOUND)
    (line,) = cues_of(rig, NAMES[0])
    assert 'X-CUE-NAME="break"' in line
    assert "PLANNED-DURATION=30.000" in line
    assert {name: cues_of(rig, name) for name in tracks} == {key: [line] for key in tracks}
    rig.play(9_000, 60_000)
    assert {name: cues_of(rig, name) for name in tracks} == {name: [] for name in tracks}


def splice(data: bytes, pre_roll_ms: int) -> bytes:
    return ad_cue.encode(data, parse(data), 0, pre_roll_ms)


def test_a_break_is_in_every_playlist_before_it_begins_and_until_it_is_over() -> None:
    rig = HlsRig()
    rig.headers()
    rig.play(4_000, 6_400, has_sound=False)
    out, back = insertion(7, 5, duration=10 * 90_000), insertion(7, 6, is_out=0)
    rig.tell(6_400, splice(out, 2_600))
    rig.play(6_400, 8_000, has_sound=False)
    (line,) = cues_of(rig, NAMES[0])
    assert line == (
        '#EXT-X-DATERANGE:ID="splice-5-7-out-9000",CLASS="urn:scte:scte35:2014:bin",'
        f'START-DATE="1970-01-01T00:00:09.000Z",PLANNED-DURATION=10.000,SCTE35-OUT=0x{out.hex()}'
    )
    rig.play(8_000, 16_000, has_sound=False)
    rig.tell(16_000, splice(back, 1_000))
    rig.play(16_000, 24_000, has_sound=False)
    assert cues_of(rig, NAMES[1]) == [
        line,
        '#EXT-X-DATERANGE:ID="splice-5-7-out-9000",START-DATE="1970-01-01T00:00:09.000Z",'
        f"DURATION=8.000,SCTE35-IN=0x{back.hex()}",
    ]
    rig.play(24_000, 40_000, has_sound=False)
    assert cues_of(rig, NAMES[0]) == []

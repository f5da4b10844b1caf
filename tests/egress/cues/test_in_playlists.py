"""A publisher's cue points in the HLS playlists of a stream."""

import re

from common.flv.amf0 import encode
from egress.hls.playlists import for_viewer
from egress.hls.stream import SOUND
from tests.kit.hls_playlist import read_media
from tests.kit.hls_rig import NAMES, HlsRig


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

"""egress/hls/variants.py: the playlist of what can be played."""

from dataclasses import replace
from fractions import Fraction

import pytest

from common.codecs.captions import caption_sei, caption_unit
from common.codecs.table import VIDEO_CODECS
from common.config.ladder import SOURCE
from common.flv.video import picture_body, video_header_body
from common.ipc.identity import Generation
from common.ipc.media_messages import KEY, RenditionOpen, TagHeader, Tags
from common.media.units import VideoCodec
from egress.hls.stream import SOUND, find_track
from egress.hls.variants import multivariant
from tests.egress.hls.test_stream import playing
from tests.kit.coded_video import CodedSpec, coded_video
from tests.kit.egress import RENDITION_VIDEO, STREAM
from tests.kit.hls_rig import NAMES, HlsRig


def test_the_multivariant_playlist_says_what_there_is() -> None:
    lines = multivariant(playing().hls, NAMES).splitlines()
    assert "#EXT-X-INDEPENDENT-SEGMENTS" in lines
    [sound] = [line for line in lines if line.startswith("#EXT-X-MEDIA:")]
    assert 'CHANNELS="2",URI="sound/index.m3u8\0"' in sound
    found = [line for line in lines if line.startswith("#EXT-X-STREAM-INF:")]
    assert len(found) == 2
    assert 'CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=25.000' in found[0]
    assert lines[-1] == "360p/index.m3u8\0"


def test_without_sound_there_is_none_listed() -> None:
    rig = playing(has_sound=False)
    assert set(rig.hls.tracks) == set(NAMES)
    assert "AUDIO" not in multivariant(rig.hls, NAMES)


def test_sound_alone_is_a_variant_where_its_app_has_it() -> None:
    rig = playing()
    rig.stream.template = replace(rig.stream.template, audio_only="audio")
    lines = multivariant(rig.hls, (*NAMES, "audio")).splitlines()
    assert lines[-1] == "sound/index.m3u8\0"
    assert 'CODECS="mp4a.40.2",AUDIO="sound"' in lines[-2]
    assert "RESOLUTION" not in lines[-2]
    assert rig.hls.is_playable("audio")
    assert not rig.hls.is_there("audio")
    assert find_track(rig.hls, "audio") is rig.hls.tracks[SOUND]
    alone = multivariant(rig.hls, ("audio",))
    assert alone.count("#EXT-X-STREAM-INF") == 1
    assert multivariant(rig.hls, NAMES).count("#EXT-X-STREAM-INF") == 2


def test_segments_of_the_source_begin_with_anything() -> None:
    rig = HlsRig(names=())
    rig.headers(names=(SOURCE,))
    rig.play(4_000, 6_500, names=(SOURCE,), has_sound=False)
    text = multivariant(rig.hls, [SOURCE])
    assert "RESOLUTION=1280x720" in text
    assert "INDEPENDENT-SEGMENTS" not in text


@pytest.mark.parametrize("with_captions", [8_000, 8_040, 8_200])
def test_captions_are_listed_once_a_picture_has_had_some(with_captions: int) -> None:
    rig = playing(4_000, 8_000)
    assert "CLOSED-CAPTIONS=NONE" in multivariant(rig.hls, NAMES)
    sei = caption_sei(b"\xfc\x94\x20")
    for ms in range(8_000, 8_400, 40):
        nal = len(sei).to_bytes(4, "big") + sei if ms == with_captions else b""
        rig.picture(NAMES[0], ms, is_key=ms == 8_000, sei=nal)
    rig.flush()
    text = multivariant(rig.hls, NAMES)
    assert text.count('CLOSED-CAPTIONS="captions"') == len(NAMES)


@pytest.mark.parametrize("codec", [VideoCodec.H265, VideoCodec.AV1])
def test_renditions_of_a_codec_stand_together_behind_those_of_h264(codec: VideoCodec) -> None:
    names = ("web", *NAMES)
    rig = HlsRig(names=names)
    made = coded_video(CodedSpec(codec, 320, 180, frames=2, fps=Fraction(25)))
    rig.headers(names=NAMES)
    header = video_header_body(VIDEO_CODECS[codec].parse_config(made.record))
    opened = RenditionOpen(STREAM, Generation(1), "web", 0, RENDITION_VIDEO._replace(codec=codec))
    rig.stream.take(opened, (b"", header), 0.0)
    rig.sound_header()
    picture = picture_body(codec, caption_unit(codec, b"\xfc\x94\x20") + made.units[0].data, True)
    for number, ms in enumerate(range(0, 6_500, 2_000)):
        entry = TagHeader(9, codec, ms, 0, KEY, 0.0)
        rig.stream.take(Tags(STREAM, Generation(1), "web", number, (entry,), 0.0), (picture,), 0.0)
    rig.play(0, 6_500, names=NAMES)
    text = multivariant(rig.hls, names)
    found = [line for line in text.splitlines() if line.startswith("#EXT-X-STREAM-INF:")]
    kinds = [line.partition('CODECS="')[2][:4] for line in found]
    assert kinds == ["avc1", "avc1", {VideoCodec.H265: "hvc1", VideoCodec.AV1: "av01"}[codec]]
    assert 'CLOSED-CAPTIONS="captions"' in found[0]

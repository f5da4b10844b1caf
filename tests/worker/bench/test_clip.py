"""Clips as endless streams."""

from fractions import Fraction
from pathlib import Path

import av
import pytest

from common.codecs.h264 import AvcConfig, is_idr, parse_sps, split_avcc
from common.config.ladder import Template
from common.config.settings import DEFAULT_RENDITIONS
from worker.bench.clip import generated, read_clip


def write_clip(path: Path, *, bsf: str = "", frames: int = 10, b_frames: int = 0) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        stream.codec_context.max_b_frames = b_frames
        for _ in range(frames):
            container.mux(stream.encode(av.VideoFrame(128, 96, "yuv420p")))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("name", ["clip.mp4", "clip.flv", "clip.ts", "clip.h264"])
def test_h264_of_any_container_becomes_avcc_units(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_clip(path)
    clip = read_clip(path)
    assert (clip.width, clip.height, clip.fps) == (128, 96, Fraction(25))
    assert len(clip) == 10
    sps = parse_sps(AvcConfig.parse(clip.record).sps[0])
    assert (sps.width, sps.height) == (128, 96)
    assert is_idr(split_avcc(clip.unit(0).data))


def test_a_clip_repeats_with_times_that_go_on(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, frames=5)
    clip = read_clip(path)
    assert [clip.unit(n).dts_ms for n in (0, 1, 5, 10)] == [0, 40, 200, 400]
    assert clip.unit(5).data == clip.unit(0).data
    assert [clip.unit(n).is_key for n in (0, 1, 5)] == [True, False, True]


def test_composition_times_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, frames=20, b_frames=2)
    clip = read_clip(path)
    assert max(clip.unit(n).composition_ms for n in range(len(clip))) > 0
    assert all(clip.unit(n).composition_ms >= 0 for n in range(len(clip)))


def test_files_without_h264_are_refused_with_words(tmp_path: Path) -> None:
    text = tmp_path / "clip.mp4"
    text.write_text("no clip")
    sound = tmp_path / "clip.wav"
    with av.open(str(sound), "w") as container:
        container.add_stream("pcm_s16le", rate=8000)
    for path, words in ((text, "cannot be read"), (tmp_path / "none.mp4", "cannot be read")):
        with pytest.raises(ValueError, match=words):
            read_clip(path)
    with pytest.raises(ValueError, match=r"holds no H\.264|cannot be read"):
        read_clip(sound)


def test_video_that_ffmpeg_has_no_decoder_for_is_none(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"none"))
    with pytest.raises(ValueError, match=r"holds no H\.264"):
        read_clip(path)


def test_a_generated_clip_is_the_templates_largest_source_at_most_1080p30() -> None:
    clip = generated(Template("x", DEFAULT_RENDITIONS, max_source=(321, 240, 10)))
    assert (clip.width, clip.height, clip.fps) == (320, 240, Fraction(10))
    assert len(clip) == 20

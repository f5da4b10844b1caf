"""Packets as NVENC's encoders give them, made by other encoders: configurations and pictures."""

from dataclasses import replace

import pytest

from common.codecs.h264 import AvcConfig, split_avcc, to_annexb
from common.codecs.h265 import HevcConfig
from common.codecs.table import VIDEO_CODECS
from common.media.units import VideoCodec
from tests.kit.coded_video import CodedSpec, CodedVideo, coded_video
from worker.devices.gpu.nvenc_units import NVENC_FORMATS

SPEC = CodedSpec(VideoCodec.H264, 320, 180, frames=8, gop=5)
DELIMITER = b"\x12\x00"  # of AV1's temporal units


def packets(made: CodedVideo) -> list[bytes]:
    """The units with parameter sets at keyframes, an access unit delimiter and SEI."""
    found = []
    for unit in made.units:
        match made.spec.codec:
            case VideoCodec.H264:
                avc = AvcConfig.parse(made.record)
                sets = (b"\x09\xf0", *avc.sps, *avc.pps, b"\x06\x05\x01\x11\x80")
                found.append(to_annexb((*(sets if unit.is_key else ()), *split_avcc(unit.data))))
            case VideoCodec.H265:
                hevc = HevcConfig.parse(made.record)
                sei = b"\x4e\x01\x05\x01\x11\x80"
                sets = (b"\x46\x01\x50", *hevc.vps, *hevc.sps, *hevc.pps, sei)
                found.append(to_annexb((*(sets if unit.is_key else ()), *split_avcc(unit.data))))
            case _:
                found.append(DELIMITER + unit.data)
    return found


@pytest.mark.parametrize("codec", NVENC_FORMATS)
def test_pictures_come_without_what_stands_in_the_record(codec: VideoCodec) -> None:
    made = coded_video(replace(SPEC, codec=codec))
    form, coded = NVENC_FORMATS[codec], packets(made)
    record = form.read_config(coded[:1]).encode()
    config = VIDEO_CODECS[codec].parse_config(record)
    assert (config.codec, config.width, config.height) == (codec, 320, 180)
    for packet, unit in zip(coded, made.units, strict=True):
        is_key, data = form.read_picture(packet)
        assert is_key == unit.is_key == VIDEO_CODECS[codec].is_random_access(data, record)
        if codec is VideoCodec.AV1:
            assert data == unit.data
        else:
            assert split_avcc(data)[-1] == split_avcc(unit.data)[-1]
            assert len(split_avcc(data)) == 1

"""What the demo encodes, as a decoder sees it."""

from typing import Any

import av

from common.codecs.h264 import AvcConfig, split_avcc, to_annexb
from common.flv.amf0 import decode_all
from common.flv.audio import parse_audio
from common.flv.video import VideoPacket, parse_video
from supervisor.commands.demo.demo import DemoSource


def test_a_second_of_the_demo_decodes_whole() -> None:
    source = DemoSource(320, 180, 30)
    header = parse_video(source.video_header)
    assert header.packet is VideoPacket.SEQUENCE_HEADER
    config = AvcConfig.parse(bytes(header.data))
    decoder: Any = av.CodecContext.create("h264", "r")
    shown = []
    times = []
    for number in range(30):
        ((at_ms, body),) = source.video(number, "12:00:00")  # each frame out at once
        times.append(at_ms)
        unit = parse_video(body)
        nals = split_avcc(bytes(unit.data), config.nal_length_size)
        data = to_annexb([*config.sps, *config.pps, *nals] if number == 0 else nals)
        shown += decoder.decode(av.Packet(data))
    shown += decoder.decode(None)
    assert len(shown) == 30
    assert (shown[0].width, shown[0].height) == (320, 180)
    assert times == sorted(times)
    assert (times[0], times[-1]) == (100, 1067)


def test_the_tone_decodes_and_begins_before_the_first_picture() -> None:
    source = DemoSource(320, 180, 30)
    decoder: Any = av.CodecContext.create("aac", "r")
    decoder.extradata = bytes(parse_audio(source.audio_header).data)
    times = []
    samples = 0
    for number in range(48):
        for at_ms, body in source.audio(number):
            times.append(at_ms)
            for frame in decoder.decode(av.Packet(bytes(parse_audio(body).data))):
                samples += frame.samples
    assert times[0] == 79  # the encoder's first packet lies one frame before the first sample
    assert times == sorted(times)
    assert samples >= 45 * 1024
    assert decoder.sample_rate == 48_000


def test_the_metadata_names_size_and_rate() -> None:
    name, members = decode_all(DemoSource(320, 180, 25).metadata)
    assert name == "onMetaData"
    assert isinstance(members, dict)
    assert (members["width"], members["height"], members["framerate"]) == (320, 180, 25)

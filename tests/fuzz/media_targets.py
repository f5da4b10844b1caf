"""Fuzzing targets: FLV, AVC and AAC, and the demuxer over all of them."""

import dataclasses
from collections.abc import Iterator
from contextlib import suppress
from uuid import UUID

from common.codecs import aac, av1, h265, h265_sps
from common.codecs import h264 as avc
from common.codecs.h264_sps import parse_sps
from common.codecs.table import VIDEO_CODECS
from common.errors import (
    Av1Error,
    AvcError,
    FlvError,
    HevcError,
    SpliceError,
    TransportStreamError,
)
from common.flv import ad_cue
from common.flv import audio as flv_audio
from common.flv import video as flv_video
from common.flv.audio import AudioPacket, is_audio_sequence_header, parse_audio
from common.flv.tag import FlvReader, Tag, encode_file_header, encode_tag
from common.flv.video import (
    FrameType,
    VideoPacket,
    avc_nalus,
    avc_sequence_header,
    is_keyframe_payload,
    is_sequence_header,
    parse_video,
)
from common.media.units import (
    AudioCodec,
    AudioConfig,
    AudioUnit,
    VideoCodec,
    VideoConfig,
    VideoUnit,
)
from common.mpegts.demuxer import PACKET_BYTES, SYNC
from common.mpegts.program import section_crc
from common.scte35 import section as scte35
from common.sei.messages import MAX_MESSAGES
from common.sei.user_data import MAX_PICTURE_BYTES, user_data_in, user_data_unit
from ingest.rtmp.to_units import Demuxer
from ingest.srt.to_units import StreamUnits
from ingest.streams.clock.timeline import Timeline
from ingest.streams.media_events import Dropped
from tests.fuzz.recipes import Recipe, cuts, outcome


def _tags(data: bytes, how: int) -> Iterator[Tag]:
    reader = FlvReader()
    for piece in cuts(data, how):
        reader.feed(piece)
        while (tag := reader.next()) is not None:
            yield tag


def flv_file(data: bytes) -> None:
    """The same tags however the file is cut, and again once they were written."""
    recipe = Recipe(data)
    how = recipe.number(1)
    file = recipe.rest()
    whole = outcome(lambda: _tags(file, 0), FlvError)
    assert whole == outcome(lambda: _tags(file, how), FlvError)
    tags = whole[0]
    written = encode_file_header(True, True) + b"".join(encode_tag(tag) for tag in tags)
    again = list(_tags(written, 0))
    assert [(tag.type, tag.payload) for tag in again] == [(tag.type, tag.payload) for tag in tags]
    # Unknown tags in between, left out of `written`, may have carried the time further on.
    assert all((a.dts_ms - b.dts_ms) % 2**32 == 0 for a, b in zip(again, tags, strict=True))


def video_body(data: bytes) -> None:
    """A video tag body; the quick looks at it say the same as taking it apart."""
    looks_key, looks_header = is_keyframe_payload(data), is_sequence_header(data)
    try:
        body = parse_video(data)
    except FlvError:
        return
    if body.codec is not VideoCodec.H264 or body.track_id or body.frame_type is FrameType.COMMAND:
        return
    assert looks_header == (body.packet is VideoPacket.SEQUENCE_HEADER)
    is_picture = body.packet is VideoPacket.NALUS
    assert looks_key == (is_picture and body.frame_type is FrameType.KEY)
    if is_picture:
        again = parse_video(avc_nalus(bytes(body.data), body.composition_ms, looks_key))
        assert (again.data, again.composition_ms) == (body.data, body.composition_ms)


def audio_body(data: bytes) -> None:
    """An audio tag body, with what is done to AAC inside it."""
    looks_header = is_audio_sequence_header(data)
    try:
        body = parse_audio(data)
    except FlvError:
        return
    assert body.codec.label
    if body.track_id == 0 and body.packet is not None:
        assert looks_header == (body.packet is AudioPacket.SEQUENCE_HEADER)
    assert body.data.endswith(aac.strip_adts(body.data))
    found = aac.config_of_adts(body.data)
    if found is not None:
        assert aac.AudioSpecificConfig.parse(found.encode()) == found


def demuxer(data: bytes) -> None:
    """Nothing raises; DTS increase within a kind; what comes out can be read."""
    parse_sps.cache_clear()
    recipe = Recipe(data)
    demux = Demuxer(Timeline())
    now = 100.0
    last: dict[type, int] = {}
    config: VideoConfig | None = None
    while recipe:
        kind = recipe.number(1)
        timestamp = recipe.number(4 if kind & 0x80 else 2)
        now += (kind >> 2 & 7) * 0.02
        payload = recipe.take(recipe.number(2))
        match kind & 3:
            case 0:
                video = demux.video(timestamp, payload, now)
                results: list[object] = list(video)
            case 1:
                results = list(demux.audio(timestamp, payload, now))
            case 2:
                message = demux.data(timestamp, payload, now)
                assert isinstance(message, Dropped) or message.data == payload
                results = []
            case _ if config is None:
                results = list(demux.video(timestamp, avc_sequence_header(payload), now))
            case _:
                results = list(demux.video(timestamp, avc_nalus(payload, 0, False), now))
        for result in results:
            match result:
                case VideoConfig():
                    config = result
                    assert VIDEO_CODECS[result.codec].parse_config(result.record) == result
                    assert is_sequence_header(flv_video.video_header_body(result))
                case VideoUnit():
                    assert config is not None
                    written = flv_video.video_body(result)
                    assert is_keyframe_payload(written) == result.is_key
                    body = parse_video(written)
                    assert body.composition_ms == result.composition_ms
                    assert result.codec is config.codec
                    assert _has_picture(result, config)
                case AudioConfig(codec=AudioCodec.AAC):
                    assert is_audio_sequence_header(flv_audio.audio_header_body(result))
                case AudioUnit():
                    sound = parse_audio(flv_audio.audio_body(result))
                    assert sound.codec is result.codec
                    assert sound.is_legacy == (result.codec is not AudioCodec.OPUS)
                case _:
                    pass
            if isinstance(result, VideoUnit | AudioUnit):
                before = last.get(type(result))
                assert before is None or result.dts_ms > before
                last[type(result)] = result.dts_ms


def _has_picture(unit: VideoUnit, config: VideoConfig) -> bool:
    match unit.codec:
        case VideoCodec.H264:
            length_size = avc.AvcConfig.parse(config.record).nal_length_size
            return bool(avc.nal_spans(unit.data, length_size))
        case VideoCodec.H265:
            length_size = h265.HevcConfig.parse(config.record).nal_length_size
            return h265.slice_type(unit.data, length_size) >= 0
        case _:
            return av1.read_unit(unit.data).has_frame


def avc_record(data: bytes) -> None:
    """A record both ways, and one made of its parameter sets."""
    parse_sps.cache_clear()
    try:
        config = avc.AvcConfig.parse(data)
    except AvcError:
        return
    assert avc.AvcConfig.parse(config.encode()) == config
    assert avc.codec_string(config).startswith("avc1.")
    with suppress(AvcError):
        made = avc.AvcConfig.from_parameter_sets(config.sps, config.pps, config.nal_length_size)
        assert avc.AvcConfig.parse(made.encode()) == made


def nal_units(data: bytes) -> None:
    """NAL units with lengths of 1 to 4 bytes, and with start codes."""
    recipe = Recipe(data)
    length_size = recipe.number(1) % 4 + 1
    unit = recipe.rest()
    is_annexb = avc.looks_like_annexb(unit, length_size)
    with suppress(AvcError):
        nals = avc.split_avcc(unit, length_size)
        assert not is_annexb or unit[:4] == b"\0\0\0\1"  # with stray bytes: see there
        assert avc.split_avcc(avc.join_avcc(nals, length_size), length_size) == nals
        avc.is_idr(nals)
        avc.parameter_sets_in(nals)
    with suppress(AvcError):
        nals = avc.split_annexb(unit)
        assert avc.split_annexb(avc.to_annexb(nals)) == nals


def user_data(data: bytes) -> None:
    """The user data of a unit, which are found again once they were written."""
    recipe = Recipe(data)
    codec = (VideoCodec.H264, VideoCodec.H265)[recipe.number(1) & 1]
    uuid, unit = str(UUID(bytes=recipe.take(16).ljust(16, b"\0"))), recipe.rest()
    find = user_data_in(codec, [uuid])
    found = find(unit, 4)
    assert sum(map(len, found)) <= MAX_PICTURE_BYTES
    if found:
        assert find(user_data_unit(codec, found[:MAX_MESSAGES]), 4) == found[:MAX_MESSAGES]


def sps(data: bytes) -> None:
    """A sequence parameter set, with values that a decoder could be asked for."""
    parse_sps.cache_clear()  # here and above: what an input reaches is its own doing
    try:
        info = parse_sps(data)
    except AvcError:
        return
    assert 0 < info.width <= 16_384
    assert 0 < info.height <= 16_384
    assert info.sar > 0
    assert info.fps is None or info.fps > 0
    assert info.reorder_frames is None or 0 <= info.reorder_frames <= 16
    assert max(info.bit_depth, info.bit_depth_chroma) <= 14
    config = avc.AvcConfig.from_parameter_sets([data], [])
    assert avc.AvcConfig.parse(config.encode()) == config


def aac_config(data: bytes) -> None:
    """An AudioSpecificConfig both ways."""
    try:
        config = aac.AudioSpecificConfig.parse(data)
    except FlvError:
        return
    assert 0 < config.channels <= 64
    assert config.output_channels > 0
    assert config.output_rate > 0
    assert aac.frame_samples(config) > 0
    assert aac.codec_string(config)
    with suppress(FlvError):
        assert aac.AudioSpecificConfig.parse(config.encode()) == config


def hevc_record(data: bytes) -> None:
    """An HEVC record; written again it reads back the same."""
    h265_sps.parse_sps.cache_clear()
    with suppress(HevcError):
        h265.with_complete_arrays(data)
    try:
        config = h265.HevcConfig.parse(data)
    except HevcError:
        return
    assert h265.HevcConfig.parse(config.encode()) == config
    assert h265.codec_string_of_record(data).startswith("hvc1.")
    if h265.is_record(data):
        made = config.with_sets(config.vps, config.sps, config.pps)
        assert h265.HevcConfig.parse(made.encode()) == made


def hevc_sps(data: bytes) -> None:
    """An SPS of H.265; what it says of pictures is possible."""
    h265_sps.parse_sps.cache_clear()
    try:
        info = h265_sps.parse_sps(data)
    except HevcError:
        return
    assert 0 < info.width <= h265_sps.MAX_PICTURE_SIDE
    assert 0 < info.height <= h265_sps.MAX_PICTURE_SIDE
    assert info.sar > 0
    assert info.fps is None or info.fps > 0
    assert 8 <= info.depth <= 16
    config = h265.HevcConfig.from_parameter_sets((), [data], ())
    assert h265.HevcConfig.parse(config.encode()).sps == (data,)


def av1_record(data: bytes) -> None:
    """An AV1 record; one that is made of its sequence header says the same."""
    try:
        config = av1.Av1Config.parse(data)
        found = av1.parse_config(data)
    except Av1Error:
        return
    assert config.encode() == data
    made = av1.parse_config(av1.Av1Config.from_sequence_header(config.sequence_header).encode())
    assert (made.width, made.height, made.colour) == (found.width, found.height, found.colour)
    assert 0 < found.width <= 65_536
    assert av1.codec_string_of_record(data).startswith("av01.")


def av1_unit(data: bytes) -> None:
    """A temporal unit; without delimiters and padding it says the same."""
    try:
        unit = av1.read_unit(data)
    except Av1Error:
        return
    again = av1.read_unit(unit.data)
    assert (again.is_key, again.has_frame) == (unit.is_key, unit.has_frame)
    assert again.sequence_header == unit.sequence_header
    assert again.data is unit.data
    if unit.sequence_header:
        with suppress(Av1Error):
            av1.sequence_header_of(unit.sequence_header)


def splice_section(data: bytes) -> None:
    """A section, given the length and checksum that it should have; it can be set to any time."""
    recipe = Recipe(data)
    ticks = recipe.number(5) % scte35.TIMES
    made = bytearray(recipe.rest()[:-4])
    if len(made) >= 3:
        size = min(len(made) + 1, 0xFFF)
        made[1:3] = (made[1] & 0xF0 | size >> 8, size & 0xFF)
    section = bytes(made) + section_crc(bytes(made)).to_bytes(4, "big")
    try:
        splice = scte35.parse(section)
    except SpliceError:
        assert scte35.at_time(section, ticks) == section
        return
    moved = scte35.parse(scte35.at_time(section, ticks))
    assert moved == (splice if splice.pts is None else dataclasses.replace(splice, pts=ticks))
    body = ad_cue.encode(section, splice, 0, 0)
    found = ad_cue.read(body)
    assert (found is None) == (len(body) > ad_cue.MAX_BODY_BYTES)
    assert found is None or found.section == section


def transport_stream(data: bytes) -> None:
    """Units or a refusal; the same ones however it is cut, where no byte is out of step."""
    recipe = Recipe(data)
    how = recipe.number(1)
    stream = recipe.rest()

    def units(how: int) -> tuple[list[object], list[bytes]] | None:
        made = StreamUnits()
        try:
            for number, piece in enumerate(cuts(stream, how)):
                made.feed(piece, float(number > -1))
        except TransportStreamError:
            return None
        made.end()
        items, payloads = made.take()
        assert len(items) == len(payloads)
        return list(items), payloads

    whole, pieces = units(0), units(how)
    in_step = all(stream[at] == SYNC for at in range(0, len(stream), PACKET_BYTES))
    assert not in_step or whole == pieces

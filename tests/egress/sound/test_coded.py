"""Streams' sound in other forms: made once for all who listen, whoever brings it."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from common.flv.audio import aac_frame, aac_sequence_header, audio_body
from common.ipc.identity import stream_id
from common.ipc.media_messages import HEADER
from common.ipc.sound_messages import SoundFrames, SoundPackets
from common.media.gop_buffer import MAX_GOP_MS
from common.media.units import AudioCodec, AudioUnit
from egress.sound.coded import MAX_FRAMES, MAX_MESSAGE_BYTES, CodedPacket, SoundForms
from egress.streams.tag import AUDIO, Tag
from tests.kit.egress import made_tag

ASC = bytes((0x11, 0x90))
HEADERS = made_tag(AUDIO, 0, HEADER, aac_sequence_header(ASC))
STREAM = stream_id("live", "cam")
AAC, OPUS = AudioCodec.AAC, AudioCodec.OPUS


class Rig:
    def __init__(self) -> None:
        self.asked: list[SoundFrames] = []
        self.heard: list[CodedPacket] = []
        self.forms = SoundForms(self.asked.append)
        self.coded = self.forms.listen(STREAM, OPUS, self.heard.extend)

    def come(self, *packets: tuple[int, bytes], label: str = "") -> None:
        times, data = zip(*packets, strict=True)
        self.forms.came(SoundPackets(label or self.coded.label, OPUS, times, data))


def aac_tag(dts_ms: int, size: int = 4) -> Tag:
    return made_tag(AUDIO, dts_ms, 0, aac_frame(b"%04d" % dts_ms + bytes(size - 4)))


def mp3_tag(dts_ms: int) -> Tag:
    return replace(made_tag(AUDIO, dts_ms, 0, b"\x2fmp3"), codec="mp3")


def test_what_another_rendition_brought_is_dropped() -> None:
    rig = Rig()
    rig.coded.take(HEADERS, [aac_tag(0), aac_tag(21)])
    again = made_tag(AUDIO, 40, HEADER, aac_sequence_header(ASC))
    rig.coded.take(again, [aac_tag(0), aac_tag(21), aac_tag(43)])
    assert [asked.times_ms for asked in rig.asked] == [(0, 21), (43,)]
    assert rig.asked[0] == SoundFrames(rig.coded.label, AAC, ASC, (0, 21), (b"0000", b"0021"), OPUS)


def test_a_message_has_one_codec_and_bounds() -> None:
    rig = Rig()
    rig.coded.take(HEADERS, [aac_tag(0), mp3_tag(20), aac_tag(40)])
    assert [(asked.codec, asked.record) for asked in rig.asked] == [
        (AAC, ASC),
        ("mp3", b""),
        (AAC, ASC),
    ]
    assert rig.asked[1].frames == (b"mp3",)
    rig.asked.clear()
    rig.coded.take(HEADERS, [aac_tag(100 + at) for at in range(MAX_FRAMES + 1)])
    rig.coded.take(HEADERS, [aac_tag(1000 + at, MAX_MESSAGE_BYTES // 2) for at in range(3)])
    assert [len(asked.frames) for asked in rig.asked] == [MAX_FRAMES, 1, 2, 1]


@pytest.mark.parametrize(
    ("header", "tag"),
    [
        (None, aac_tag(0)),
        (made_tag(AUDIO, 0, HEADER, b"\xaf\x00"), aac_tag(0)),
        (HEADERS, made_tag(AUDIO, 0, 0, b"")),
        (HEADERS, made_tag(AUDIO, 0, 0, b"\xaf\x01")),
        (HEADERS, replace(made_tag(AUDIO, 0, 0, b"\xb6speex"), codec="speex")),
        (
            HEADERS,
            Tag(AUDIO, OPUS, 0, 0, 0, audio_body(AudioUnit(OPUS, 0, 0, b"\xfc\xff\xfe", 0.0))),
        ),
    ],
)
def test_what_cannot_be_decoded_is_not_sent(header: Tag | None, tag: Tag) -> None:
    rig = Rig()
    rig.coded.take(header, [tag])
    assert not rig.asked


def test_packets_go_to_all_who_listen_and_whoever_comes_later_gets_those_of_before() -> None:
    rig = Rig()
    rig.come((0, b"a"), (960, b"b"))
    late: list[CodedPacket] = []
    coded = rig.forms.listen(STREAM, OPUS, late.extend)
    assert coded is rig.coded
    late += coded.since(20)
    rig.come((1920, b"c"))
    rig.come((1920, b"x"), label="another")
    assert [packet.data for packet in rig.heard] == [b"a", b"b", b"c"]
    assert [packet.data for packet in late] == [b"b", b"c"]
    rig.come(((MAX_GOP_MS + 21) * 48, b"d"))
    assert [packet.data for packet in coded.since(0)] == [b"c", b"d"]


def test_one_who_fails_hears_no_more_and_costs_nobody_anything() -> None:
    rig = Rig()

    def fail(packets: Sequence[CodedPacket]) -> None:
        raise ValueError

    rig.forms.listen(STREAM, OPUS, fail)
    rig.come((0, b"a"))
    assert len(rig.coded.listeners) == 1
    assert len(rig.heard) == 1


def test_a_form_is_made_as_long_as_anybody_listens_and_anew_under_another_label() -> None:
    rig = Rig()
    other = rig.forms.listen(STREAM, AAC, print)
    assert len(rig.forms) == 2
    rig.forms.leave(other, print)
    rig.forms.leave(rig.coded, rig.heard.extend)
    assert len(rig.forms) == 0
    rig.come((0, b"late"))
    assert not rig.heard
    assert rig.forms.listen(STREAM, OPUS, print).label not in (rig.coded.label, other.label)

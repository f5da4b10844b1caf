"""Packets of a publisher as units, over any line: no picture is wrong, in order, none twice."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.codecs.h264 import split_avcc
from common.codecs.opus import OpusHead
from common.errors import RtpError
from common.ipc.unit_messages import AUDIO, AUDIO_CONFIG, KEY, LOST, VIDEO, UnitItem
from common.rtp.h264 import packetise
from common.rtp.header import SEQUENCES, Packet
from ingest.whip.keyframes import KeyframeWish
from ingest.whip.times import Times
from ingest.whip.tracks import Pictures, Sound, Units, repaired

SPS, PPS = b"\x67\x42\xc0\x1f\x8c", b"\x68\xce\x3c\x80"
FATES = ("", "", "", "", "", "late", "twice", "lost", "repeated")
OPUS_20_MS = bytes((0x78,)) + bytes(60)


@dataclass
class Rig:
    """A publisher's tracks."""

    def __post_init__(self) -> None:
        self.times, self.units, self.wish = Times(), Units(), KeyframeWish(2.0)
        self.pictures = Pictures(self.times, self.units, self.wish)
        self.sound = Sound(self.times, self.units)


def nal_of(number: int, size: int) -> bytes:
    kind = 0x65 if number % 10 == 0 else 0x41
    return bytes((kind, 0x88)) + number.to_bytes(2, "big") + bytes(at % 251 for at in range(size))


def video(sizes: Sequence[int], first: int = 0, ssrc: int = 1) -> list[Packet]:
    """The packets of so many pictures, the tenth ones keyframes."""
    found: list[Packet] = []
    for number, size in enumerate(sizes):
        payloads = packetise([nal_of(number, size)], (SPS, PPS) if number % 10 == 0 else ())
        for payload in payloads:
            sequence = (first + len(found)) % SEQUENCES
            is_last = payload is payloads[-1]
            found.append(Packet(96, is_last, sequence, number * 3000, ssrc, payload))
    return found


def numbers_of(rig: Rig) -> list[int]:
    """The numbers of the pictures that came, each looked at whole."""
    items, payloads = rig.units.take()
    found = []
    for item, payload in zip(items, payloads, strict=True):
        if item.kind == VIDEO:
            *sets, nal = split_avcc(payload)
            number = int.from_bytes(nal[2:4], "big")
            assert nal == nal_of(number, len(nal) - 4)
            # the packet of its parameter sets may be lost, and those before are good
            assert sets in (([SPS, PPS], []) if number % 10 == 0 else ([],))
            assert bool(item.flags & KEY) == (number % 10 == 0)
            found.append(number)
    return found


@given(
    st.integers(0, SEQUENCES - 1),
    st.lists(st.integers(1, 4000), min_size=3, max_size=40),
    st.lists(st.sampled_from(FATES), min_size=200, max_size=200),
)
def test_over_any_line_each_picture_comes_whole_or_not_at_all(
    first: int, sizes: list[int], fates: list[str]
) -> None:
    rig, packets = Rig(), video(sizes, first)
    arrivals: list[tuple[float, int, Packet, bool]] = []
    hit: set[int] = set()
    for at, (packet, fate) in enumerate(zip(packets, ["", *fates], strict=False)):
        now = at / 500
        if fate == "lost":
            hit.add(packet.timestamp // 3000)
        elif fate == "repeated":
            again = packet._replace(
                ssrc=9, sequence=0, payload=packet.sequence.to_bytes(2, "big") + packet.payload
            )
            arrivals.append((now + 0.05, at, repaired(again, 1), True))
        else:
            delay_s = 0.03 if fate == "late" else 0.0
            arrivals += [(now + delay_s, at, packet, False)] * (2 if fate == "twice" else 1)
    for now, _, packet, is_repeat in sorted(arrivals, key=lambda one: one[:2]):
        rig.pictures.add(packet, now, is_repeat=is_repeat)
        rig.pictures.check(now)
    rig.pictures.check(100.0)
    numbers = numbers_of(rig)
    assert numbers == sorted(set(numbers))
    whole = {packet.timestamp // 3000 for packet in packets[: len(fates)]} - hit
    missing = whole - set(numbers)
    # a picture whose end is lost at the end of all is not seen to be gone
    assert not missing or (hit and len(missing) <= 1 and max(missing) == max(whole))


def test_a_loss_is_said_before_what_follows_and_a_keyframe_is_wished_for() -> None:
    rig = Rig()
    packets = video([100] * 4)
    rig.pictures.add(packets[0], 0.0)
    rig.pictures.add(packets[1], 0.0)
    assert not rig.wish.is_due(0.0) or True
    for packet in packets[3:]:
        rig.pictures.add(packet, 0.1)
    assert [item.kind for item in rig.units.take()[0]] == [VIDEO]
    assert rig.pictures.asks(0.2) == [packets[2].sequence]
    rig.pictures.check(2.0)
    assert [item.kind for item in rig.units.take()[0]] == [LOST, VIDEO, VIDEO]
    assert rig.wish.is_due(2.0)


def test_another_source_of_pictures_begins_anew() -> None:
    rig = Rig()
    for packet in video([50, 50]):
        rig.pictures.add(packet, 0.0)
    rig.units.take()
    for packet in video([50, 50], 30_000, ssrc=2):
        rig.pictures.add(packet, 1.0)
    items, _ = rig.units.take()
    assert [item.kind for item in items] == [LOST, VIDEO, VIDEO]
    assert rig.pictures.ssrc == 2


def test_sound_is_announced_and_a_lost_packet_of_it_is_a_gap() -> None:
    rig = Rig()
    for number in (0, 1, 3, 4):
        packet = Packet(111, False, number, number * 960, 5, OPUS_20_MS)
        rig.sound.add(packet, number * 0.02)
    rig.sound.check(1.0)
    items, payloads = rig.units.take()
    assert [item.kind for item in items] == [AUDIO_CONFIG, *[AUDIO] * 4]
    assert OpusHead.parse(payloads[0]).channels == 2
    stamps = [item.stamp_ms for item in items[1:]]
    assert [stamp - stamps[0] for stamp in stamps] == [0, 20, 60, 80]
    rig.sound.announce_anew()
    rig.sound.add(Packet(111, False, 5, 4800, 5, OPUS_20_MS), 1.1)
    assert [item.kind for item in rig.units.take()[0]] == [AUDIO_CONFIG, AUDIO]


@pytest.mark.parametrize("payload", [b"", b"\x7b", b"\x7b\x3f"])
def test_what_is_no_sound_is_none(payload: bytes) -> None:
    rig = Rig()
    rig.sound.add(Packet(111, False, 0, 0, 5, payload), 0.0)
    assert rig.units.take() == ([], [])


@given(st.lists(st.tuples(st.integers(0, 65_535), st.binary(max_size=20)), max_size=40))
def test_nothing_that_comes_raises(packets: list[tuple[int, bytes]]) -> None:
    rig = Rig()
    for at, (sequence, payload) in enumerate(packets):
        for track in (rig.pictures, rig.sound):
            track.add(Packet(96, at % 3 == 0, sequence, at * 3000, 1, payload), at / 30)
            track.check(at / 30)
            track.asks(at / 30)
    for item in rig.units.take()[0]:
        assert isinstance(item, UnitItem)


def test_a_repeat_has_the_number_that_it_had() -> None:
    packet = Packet(97, True, 7, 3000, 9, b"\x01\x02rest")
    assert repaired(packet, 1) == Packet(97, True, 0x0102, 3000, 1, b"rest")
    with pytest.raises(RtpError):
        repaired(packet._replace(payload=b"\x01"), 1)

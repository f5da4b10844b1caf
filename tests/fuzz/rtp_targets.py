"""What those who come by WebRTC can send: SDP, STUN, RTP and RTCP (see `harnesses.py`)."""

from collections.abc import Iterator

from common.codecs.h264 import split_avcc
from common.errors import OfferUnfit, RtpError, SdpError, StunError
from common.ipc.unit_messages import LOST, VIDEO
from common.rtp import header, rtcp
from common.webrtc import offer, stun
from common.webrtc.description import End
from ingest.whip import answer
from ingest.whip.keyframes import KeyframeWish
from ingest.whip.times import Times
from ingest.whip.tracks import Pictures, Sound, Units, repaired

END = End("ours", "p" * 24, "sha-256 AB:CD", [("192.0.2.1", 8190)], 7)


def _datagrams(data: bytes) -> Iterator[bytes]:
    """Each behind its length, of two bytes."""
    at = 0
    while at + 2 <= len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        yield data[at + 2 : end]
        at = end


def publisher_packets(data: bytes) -> None:
    """A publisher's packets: pictures, sound (111) and repeats (97), 2 ms apart."""
    times, units, wish = Times(), Units(), KeyframeWish(2.0)
    pictures, sound = Pictures(times, units, wish), Sound(times, units)
    now = 0.0
    for datagram in _datagrams(data):
        now += 0.002
        try:
            packet = header.parse(datagram)
            if packet.payload_type == 97:
                pictures.add(repaired(packet, 1), now, is_repeat=True)
            elif packet.payload_type == 111:
                sound.add(packet, now)
            else:
                pictures.add(packet, now)
        except RtpError:
            continue
        for track in (pictures, sound):
            track.check(now)
            assert len(track.asks(now)) <= 200
    for track in (pictures, sound):
        track.check(now + 10)
        if track.reception is not None:
            rtcp.receiver_report(1, [track.reception.report(track.highest, now)])
    items, payloads = units.take()
    for item, payload in zip(items, payloads, strict=True):
        if item.kind == VIDEO:
            assert all(split_avcc(payload))
        elif item.kind == LOST:
            assert payload.isascii()


def rtcp_packet(data: bytes) -> None:
    """What a peer says of media; what it lacks is bounded."""
    try:
        found = rtcp.parse(data, 50)
    except RtpError:
        return
    assert sum(len(one.sequences) for one in found if isinstance(one, rtcp.Lost)) <= 50


def sdp_offer(data: bytes) -> None:
    """An offer; what is answered has no line that the offer has smuggled in."""
    try:
        read = offer.parse(data.decode("utf-8", "replace"))
        text = answer.write(read, answer.choose(read), END)
    except (SdpError, OfferUnfit):
        return
    lines = text.split("\r\n")
    assert sum(line.startswith("m=") for line in lines) == len(read.media)
    assert all(line[1:2] == "=" for line in lines if line)


def stun_message(data: bytes) -> None:
    """A message of STUN."""
    try:
        request = stun.parse(data)
    except StunError:
        return
    if request is not None:
        assert not stun.has_integrity(request, "another" * 4)

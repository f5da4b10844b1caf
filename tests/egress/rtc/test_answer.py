"""Answers: what is chosen of an offer, and that each is one that the offerer can take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import OfferUnfit, SdpError
from common.media.units import VideoCodec
from common.webrtc import offer
from common.webrtc.description import End
from egress.rtc import answer
from tests.kit.sdp import CHROMIUM, SMALL, changed

END = End("ours", "p" * 24, "sha-256 AB:CD", [("192.0.2.1", 8189), ("2001:db8::1", 8189)], 7)
OURS = answer.Ours(END, 11, 12, 13)


def answered(sdp, profile="42"):
    read = offer.parse(sdp)
    return answer.write(read, answer.choose(read, profile), OURS)


def sections(text):
    return [part.splitlines() for part in text.split("\r\nm=")[1:]]


@pytest.mark.parametrize(
    ("profile", "payload_type", "rtx"), [("42", 102, 103), ("4d", 116, 117), ("64", 102, 103)]
)
def test_chromium_is_sent_the_payload_type_nearest_to_the_stream(profile, payload_type, rtx):
    # Debian's offers no High, and decodes it all the same
    chosen = answer.choose(offer.parse(CHROMIUM), profile)
    assert chosen.video.codec.parameters["packetization-mode"] == "1"
    assert chosen.video.rtx is not None
    assert chosen.audio is not None
    assert (chosen.video.payload_type, chosen.video.rtx.payload_type) == (payload_type, rtx)
    assert chosen.audio.payload_type == 111


def test_the_answer_to_chromium():
    text = answered(CHROMIUM)
    video, audio = sections(text)
    assert text.startswith("v=0\r\n")
    assert text.endswith("\r\n")
    assert "a=ice-lite" in text
    assert "a=group:BUNDLE 0 1" in text
    assert video[0] == "video 9 UDP/TLS/RTP/SAVPF 102 103"
    for line in ("a=mid:0", "a=sendonly", "a=rtcp-mux", "a=setup:passive", "a=ice-ufrag:ours",
                 "a=fingerprint:sha-256 AB:CD", "a=rtcp-fb:102 nack", "a=rtcp-fb:102 nack pli",
                 "a=rtcp-fb:102 goog-remb", "a=fmtp:103 apt=102", "a=ssrc-group:FID 11 12",
                 "a=candidate:1 1 udp 2130706431 192.0.2.1 8189 typ host"):  # fmt: skip
        assert line in video, line
    assert "a=rtcp-fb:102 transport-cc" not in video
    assert audio[0] == "audio 9 UDP/TLS/RTP/SAVPF 111"
    assert any("stereo=1" in line for line in audio)


def test_av1_is_sent_where_the_rendition_is_that_and_the_viewer_takes_it():
    read = offer.parse(CHROMIUM)
    chosen = answer.choose(read, "", VideoCodec.AV1)
    assert chosen.video.codec.name == "AV1"
    video, _ = sections(answer.write(read, chosen, OURS))
    number = chosen.video.payload_type
    assert f"a=rtpmap:{number} AV1/90000" in video
    assert any(line.startswith(f"a=fmtp:{number} ") and "profile=0" in line for line in video)
    assert f"a=rtcp-fb:{number} nack pli" in video
    with pytest.raises(OfferUnfit, match="the stream is AV1, and the offer has"):
        answer.choose(offer.parse(CHROMIUM.replace(" AV1/", " XV1/")), "", VideoCodec.AV1)


HEVC = (
    "a=rtpmap:102 H264/90000", "a=rtpmap:102 H265/90000",
)  # fmt: skip


@pytest.mark.parametrize(
    ("fmtp", "profile", "fits"),
    [
        ("level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST", "1", True),
        ("level-id=93;profile-id=2;tier-flag=0;tx-mode=SRST", "1", True),
        ("level-id=93;profile-id=2;tier-flag=0;tx-mode=SRST", "2", True),
        ("level-id=93", "1", True),
        ("profile-id=1", "2", False),
        ("profile-id=1;tx-mode=MRST", "1", False),
    ],
)
def test_h265_is_sent_to_who_takes_its_profile(fmtp: str, profile: str, fits: bool) -> None:
    old = next(line for line in CHROMIUM.splitlines() if line.startswith("a=fmtp:102 "))
    read = offer.parse(changed(CHROMIUM, HEVC, (old, f"a=fmtp:102 {fmtp}")))
    if not fits:
        with pytest.raises(OfferUnfit, match="the stream is HEVC, and the offer has"):
            answer.choose(read, profile, VideoCodec.H265)
        return
    video, _ = sections(answer.write(read, answer.choose(read, profile, VideoCodec.H265), OURS))
    assert "a=rtpmap:102 H265/90000" in video
    (said,) = [line for line in video if line.startswith("a=fmtp:102 ")]
    offered = dict(part.split("=") for part in fmtp.split(";"))
    offered.pop("tx-mode", None)
    assert dict(part.split("=") for part in said.split(" ")[1].split(";")) == offered


def test_an_offer_of_any_codec_that_is_sent_is_looked_at_further() -> None:
    alone = CHROMIUM.replace(" H264/", " XH264/")
    answer.check(offer.parse(alone))  # it has AV1
    with pytest.raises(OfferUnfit, match=r"the stream is H\.264 with packetization-mode=1"):
        answer.check(offer.parse(alone.replace(" AV1/", " XV1/")))


def test_who_waits_for_dtls_is_called():
    assert "a=setup:active" in answered(changed(SMALL, ("setup:actpass", "setup:passive")))


def test_other_sections_are_refused_in_their_places():
    data = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:d\r\n"
    second = SMALL[SMALL.index("m=video") :].replace("a=mid:v", "a=mid:w")
    text = answered(changed(SMALL, ("m=video", data + "m=video")) + second)
    first, taken, other = sections(text)
    assert first[0] == "application 0 UDP/DTLS/SCTP webrtc-datachannel"
    assert taken[0].startswith("video 9 ")
    assert other[0].startswith("video 0 ")
    assert "a=group:BUNDLE v\r\n" in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ((("packetization-mode=1;", ""),), "packetization-mode=1, and the offer has H264"),
        ((("H264/90000", "VP8/90000"),), "the offer has VP8"),
        ((("a=recvonly", "a=sendonly"),), "ask for video"),
        ((("m=video", "m=audio"),), "ask for video"),
        ((("a=rtcp-mux\r\n", ""),), "rtcp-mux"),
        ((("UDP/TLS/RTP/SAVPF", "RTP/AVP"),), "SAVPF is needed"),
    ],
)
def test_an_offer_of_nothing_that_fits_is_refused_in_words(changes, words):
    with pytest.raises(OfferUnfit, match=words):
        answered(changed(SMALL, *changes))


@given(st.integers(0, len(CHROMIUM)), st.integers(0, 200), st.text(max_size=30))
def test_whatever_is_offered_an_answer_has_its_sections_and_no_line_of_its_own(at, size, text):
    sdp = CHROMIUM[:at] + text + CHROMIUM[at + size :]
    try:
        read = offer.parse(sdp)
        written = answer.write(read, answer.choose(read), OURS)
    except SdpError:
        return
    assert written.count("\r\nm=") == len(read.media)
    known = ("v=", "o=", "s=", "t=", "a=", "m=", "c=")
    assert all(line.startswith(known) for line in written.split("\r\n")[:-1])
    assert len(written) < 20_000

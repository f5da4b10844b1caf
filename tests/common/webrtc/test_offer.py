"""Offers: a browser's is read, and none costs more than it may."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import SdpError
from common.webrtc import offer
from tests.kit.sdp import CHROMIUM, SMALL, changed


def test_chromiums_offer_is_read():
    read = offer.parse(CHROMIUM)
    assert [(one.kind, one.mid, one.may_receive, one.is_muxed) for one in read.media] == [
        ("video", "0", True, True),
        ("audio", "1", True, True),
    ]
    assert read.ufrag == "PzqR"
    assert len(read.password) == 24
    assert not read.is_passive
    assert [one[0] for one in read.fingerprints] == ["sha-256"]
    h264 = read.media[0].named("H264")
    assert [one.payload_type for one in h264] == [102, 104, 108, 114, 116, 39, 41, 43]
    assert h264[0].parameters["profile-level-id"] == "42001f"
    assert {"nack", "nack pli", "goog-remb"} <= h264[0].feedback
    assert read.media[1].named("OPUS")[0].channels == 2


@pytest.mark.parametrize(
    ("changes", "wants", "muxed"),
    [
        ((), True, True),
        ((("a=recvonly", "a=sendrecv"),), True, True),
        ((("a=recvonly\r\n", ""),), True, True),
        ((("a=recvonly", "a=sendonly"),), False, True),
        ((("a=recvonly", "a=inactive"),), False, True),
        ((("m=video 9", "m=video 0"),), False, True),
        ((("m=video 9", "m=video 0"), ("a=mid:v", "a=mid:v\r\na=bundle-only")), True, True),
        ((("a=rtcp-mux\r\n", ""),), True, False),
    ],
)
def test_what_a_section_wants(changes, wants, muxed):
    (media,) = offer.parse(changed(SMALL, *changes)).media
    assert (media.may_receive, media.is_muxed) == (wants, muxed)


@pytest.mark.parametrize(
    ("sdp", "words"),
    [
        ("", "begins with v=0"),
        ("hello", "begins with v=0"),
        ("v=0\r\n", "no media"),
        ("v=0\n" + "a=x\n" * 3000, "lines"),
        ("v=0\n" + "x" * 70_000, "bytes"),
        ("v=0\n" + "m=video 9 UDP/TLS/RTP/SAVPF 1\n" * 17, "17 media"),
        (changed(SMALL, ("m=video 9 UDP", "m=video x UDP")), "media line"),
        (changed(SMALL, ("a=mid:v", "a=mid:v v")), "mid"),
        (changed(SMALL, ("a=ice-ufrag:Frag", "a=ice-ufrag:F")), "ice-ufrag"),
        (changed(SMALL, ("a=ice-pwd:passwordpasswordpassword", "a=ice-pwd:short")), "ice-pwd"),
        (changed(SMALL, ("sha-256", "sha-1")), "fingerprint"),
        (changed(SMALL, ("AB:AB", "AB:xx")), "fingerprint"),
    ],
)
def test_what_is_no_offer_is_refused_in_words(sdp, words):
    with pytest.raises(SdpError, match=words):
        offer.parse(sdp)


def test_a_section_of_a_thousand_formats_is_bounded():
    formats = " ".join(map(str, range(1000)))
    maps = "\r\n".join(f"a=rtpmap:{one} VP8/90000" for one in range(1000))
    sdp = changed(SMALL, ("SAVPF 102", f"SAVPF {formats}"), ("a=rtcp-mux", f"a=rtcp-mux\r\n{maps}"))
    began = time.process_time()
    (media,) = offer.parse(sdp).media
    assert len(media.codecs) <= offer.MAX_CODECS
    assert time.process_time() - began < 1


@given(st.integers(0, len(CHROMIUM)), st.integers(0, 400), st.text(max_size=30))
def test_any_change_gives_an_offer_or_an_error(at, size, text):
    try:
        read = offer.parse(CHROMIUM[:at] + text + CHROMIUM[at + size :])
    except SdpError:
        return
    assert read.media
    assert read.ufrag

"""An answer's text: each section in its place, taken or refused."""

from hypothesis import given
from hypothesis import strategies as st

from common.webrtc import description, offer
from common.webrtc.description import End, Section
from tests.kit.sdp import CHROMIUM

END = End("ours", "p" * 24, "sha-256 AB:CD", [("192.0.2.1", 8189), ("2001:db8::1", 8189)], 7)


@given(st.sets(st.integers(0, 1)), st.sampled_from(["sendonly", "recvonly"]))
def test_sections_that_are_not_taken_are_refused_in_their_places(taken, direction):
    read = offer.parse(CHROMIUM)
    sections = [Section(read.media[at], direction, [96], ["a=x"]) for at in sorted(taken)]
    text = description.write(read, sections, END)
    assert text.startswith("v=0\r\n")
    assert "\r\na=ice-lite\r\n" in text
    parts = [part.splitlines() for part in text.split("\r\nm=")[1:]]
    assert len(parts) == len(read.media)
    for at, (part, media) in enumerate(zip(parts, read.media, strict=True)):
        port = part[0].split()[1]
        assert part[0].split()[0] == media.kind
        assert (port != "0") == (at in taken)
        assert f"a=mid:{media.mid}" in part
        assert (f"a={direction}" in part) == (at in taken)
        assert ("a=ice-pwd:" + "p" * 24 in part) == (at in taken)
    assert ("a=group:BUNDLE" in text) == bool(taken)


def test_candidates_are_in_the_order_of_the_addresses():
    read = offer.parse(CHROMIUM)
    text = description.write(read, [Section(read.media[0], "sendonly", [96], [])], END)
    first, second = [line.split() for line in text.splitlines() if "candidate:" in line]
    assert (first[4], second[4]) == ("192.0.2.1", "2001:db8::1")
    assert int(first[3]) > int(second[3])


def test_who_waits_for_dtls_is_called():
    for setup, expected in (("actpass", "passive"), ("active", "passive"), ("passive", "active")):
        read = offer.parse(CHROMIUM.replace("setup:actpass", f"setup:{setup}"))
        text = description.write(read, [Section(read.media[0], "sendonly", [96], [])], END)
        assert f"a=setup:{expected}" in text

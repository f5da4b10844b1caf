"""Offers of viewers: Chromium's as it came, and others that differ from it by some lines."""

from pathlib import Path

CHROMIUM = (Path(__file__).parents[1] / "egress/rtc/chromium-156.sdp").read_text()

SMALL = "\r\n".join(
    (
        "v=0",
        "o=- 1 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=ice-ufrag:Frag",
        "a=ice-pwd:passwordpasswordpassword",
        "a=fingerprint:sha-256 " + ":".join(["AB"] * 32),
        "a=setup:actpass",
        "m=video 9 UDP/TLS/RTP/SAVPF 102",
        "a=mid:v",
        "a=recvonly",
        "a=rtcp-mux",
        "a=rtpmap:102 H264/90000",
        "a=fmtp:102 packetization-mode=1;profile-level-id=42e01f",
        "",
    )
)


def changed(sdp: str, *changes: tuple[str, str]) -> str:
    """The offer with some text replaced, each of which must be there."""
    for before, after in changes:
        assert before in sdp, before
        sdp = sdp.replace(before, after)
    return sdp

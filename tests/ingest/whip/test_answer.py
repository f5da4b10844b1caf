"""What is taken of a publisher's offer, and in what words the rest is refused."""

import pytest

from common.errors import OfferUnfit
from common.webrtc import offer
from common.webrtc.description import End
from ingest.whip import answer
from tests.kit.sdp import CHROMIUM, SMALL

END = End("ours", "p" * 24, "sha-256 AB:CD", [("192.0.2.1", 8190)], 7)
SENDING = CHROMIUM.replace("a=recvonly", "a=sendonly")


def answered(sdp: str) -> str:
    read = offer.parse(sdp)
    return answer.write(read, answer.choose(read), END)


def test_chromium_is_asked_for_what_it_likes_best_of_h264_with_repeats_and_stereo() -> None:
    text = answered(SENDING)
    video, audio = (part.splitlines() for part in text.split("\r\nm=")[1:])
    read = offer.parse(SENDING)
    first = next(
        one for one in read.media[0].named("H264") if one.parameters["packetization-mode"] == "1"
    )
    assert video[0].split()[3] == str(first.payload_type)
    assert len(video[0].split()) == 5, "and its RTX"
    for lines in (video, audio):
        assert "a=recvonly" in lines
        assert "a=rtcp-mux" in lines
    assert f"a=rtcp-fb:{first.payload_type} nack pli" in video
    assert f"a=rtcp-fb:{first.payload_type} goog-remb" in video
    assert not any("transport-cc" in line for line in video)
    assert any("stereo=1" in line for line in audio)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("a=sendonly", "a=recvonly"), "sends no video"),
        (("H264", "VP8"), "publish H.264.*VP8"),
        (("packetization-mode=1", "packetization-mode=0"), "packetization-mode=1"),
        (("a=rtcp-mux\r\n", ""), "rtcp-mux"),
    ],
)
def test_what_cannot_be_taken_is_refused_in_words(change: tuple[str, str], words: str) -> None:
    sdp = SENDING if "\r\n" in SENDING else SENDING.replace("\n", "\r\n")
    with pytest.raises(OfferUnfit, match=words):
        answer.choose(offer.parse(sdp.replace(*change)))


def test_without_opus_there_are_pictures_alone() -> None:
    text = answered(SENDING.replace("opus/48000", "PCMX/48000"))
    assert "m=audio 0 " in text
    assert "m=video 9 " in text


def test_sound_alone_is_refused() -> None:
    sdp = SMALL.replace("a=recvonly", "a=sendonly").replace("m=video", "m=audio")
    with pytest.raises(OfferUnfit, match="no video"):
        answer.choose(offer.parse(sdp))

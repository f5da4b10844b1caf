"""common/rtmp/enhanced.py: what `connect` says of codecs, both ways."""

import pytest

from common.codecs.table import VIDEO_CODECS
from common.flv import amf0
from common.flv.video import fourcc_of
from common.media.units import VideoCodec
from common.rtmp import enhanced
from tests.kit.rtmp import Wire, command, handshake


@pytest.mark.parametrize(
    ("members", "fourccs"),
    [
        ({}, set()),
        ({"fourCcList": ["hvc1", "av01", "Opus"]}, {"hvc1", "av01", "Opus"}),
        ({"fourCcList": ["*"]}, {"*"}),
        ({"videoFourCcInfoMap": {"hvc1": 1.0, "av01": 4.0, "vp09": 2.0}}, {"hvc1", "av01"}),
        ({"videoFourCcInfoMap": amf0.EcmaArray({"*": 7.0})}, {"*"}),
        ({"fourCcList": ["hvc1"], "videoFourCcInfoMap": {"av01": 1.0}}, {"hvc1", "av01"}),
        ({"fourCcList": "hvc1"}, set()),
        ({"fourCcList": [5.0, None, "hevc1", "", "hvc1"]}, {"hvc1"}),
        ({"videoFourCcInfoMap": {"hvc1": "1", "av01": True}}, set()),
        ({"fourCcList": ["hvc1"] * 100 + ["av01"]}, {"hvc1"}),
        ({"audioFourCcInfoMap": {"Opus": 1.0, "fLaC": 2.0}}, {"Opus"}),
        ({"audioFourCcInfoMap": {"*": 1.0}}, {"Opus"}),
        ({"capsEx": 1.0}, set()),
    ],
)
def test_what_a_peer_names_is_read(members: dict[str, amf0.Value], fourccs: set[str]) -> None:
    assert enhanced.named_fourccs(members) == fourccs
    assert enhanced.is_enhanced(members) == bool(members)


@pytest.mark.parametrize(
    ("fourccs", "takes"),
    [
        ((), {"h264"}),
        (("*",), {"h264", "h265", "av1", "vp9"}),
        (("hvc1",), {"h264", "h265"}),
        (("av01", "vp09"), {"h264", "av1", "vp9"}),
        (("avc1",), {"h264"}),
    ],
)
def test_all_take_h264_and_what_they_named(fourccs: tuple[str, ...], takes: set[str]) -> None:
    codecs = (VideoCodec.H264, VideoCodec.H265, VideoCodec.AV1, VideoCodec.VP9)
    assert {codec for codec in codecs if enhanced.takes(frozenset(fourccs), codec)} == takes


@pytest.mark.parametrize(
    ("fourccs", "takes"), [((), False), (("hvc1",), False), (("*",), True), (("Opus",), True)]
)
def test_opus_is_for_who_named_it(fourccs: tuple[str, ...], takes: bool) -> None:
    assert enhanced.takes_opus(frozenset(fourccs)) == takes


def test_the_answer_names_what_is_taken_in() -> None:
    answer = enhanced.answer()
    named = answer["videoFourCcInfoMap"]
    assert isinstance(named, dict)
    assert set(named) == {fourcc_of(codec) for codec in VIDEO_CODECS}
    assert enhanced.named_fourccs(answer) >= set(named)


def connect(**members: amf0.Value) -> dict[str, amf0.Value]:
    wire = Wire()
    handshake(wire)
    wire.send(command("connect", 1, {"app": "live", **members}))
    (result,) = [reply for reply in wire.replies() if reply[0] == "_result"]
    properties = result[2]
    assert isinstance(properties, dict)
    return properties


def test_who_says_what_it_knows_is_answered() -> None:
    properties = connect(fourCcList=["hvc1"])
    assert {name: properties[name] for name in enhanced.answer()} == enhanced.answer()


def test_others_are_answered_as_ever() -> None:
    assert set(connect()) == {"fmsVer", "capabilities", "mode"}

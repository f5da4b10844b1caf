"""egress/push/rtmp_form.py."""

from common.flv import amf0
from egress.fanout.entries import METADATA, VIDEO, Entry, Headers
from egress.push.rtmp_form import PublishForm
from egress.rtmp.from_units import RtmpForm
from tests.kit.egress import messages

BODY = amf0.encode("onMetaData") + amf0.encode({"width": 1280.0})


def entry(kind: int, body: bytes) -> Entry:
    return Entry(kind, 1000, body, Headers(), 40, False, False)


def test_metadata_is_set_and_all_else_is_as_players_get_it() -> None:
    form, players = PublishForm(1), RtmpForm(1)
    for wire in (
        form.absolute(METADATA, 1000, BODY),
        form.step(entry(METADATA, BODY)),
        form.restart(entry(METADATA, BODY)),
    ):
        (message,) = messages(wire)
        assert message.payload == amf0.encode("@setDataFrame") + BODY
        assert message.timestamp == 0
    picture = entry(VIDEO, b"\x17\x01\x00\x00\x00x")
    assert form.step(picture) == players.step(picture)
    assert form.restart(picture) == players.restart(picture)
    assert form.absolute(VIDEO, 7, b"x") == players.absolute(VIDEO, 7, b"x")


def test_those_of_one_message_stream_are_alike_and_no_players() -> None:
    assert PublishForm(1) == PublishForm(1)
    assert PublishForm(1) != PublishForm(2)
    assert PublishForm(1) != RtmpForm(1)
    assert PublishForm(1).family != RtmpForm(1).family

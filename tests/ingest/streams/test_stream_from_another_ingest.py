"""ingest/streams/stream.py: a stream that another ingest had before, with its last GOP."""

from dataclasses import replace

from common.config.ladder import AwayPicture
from common.ipc.identity import Generation
from common.ipc.media_messages import (
    AccessUnit,
    StreamOpen,
    StreamPause,
    StreamStart,
    Tags,
    VideoHeader,
)
from ingest.streams.gop_transfer import unpack
from ingest.streams.stream import StreamState
from tests.kit.children import CPU1, EGRESS1
from tests.kit.ingest_ports import (
    ANSWER,
    SPS_720,
    TEMPLATE,
    RememberingPort,
    config,
)
from tests.kit.stream_rig import StreamRig


def moved(away_picture: AwayPicture = AwayPicture.FREEZE) -> tuple[StreamRig, StreamRig]:
    """A stream whose publisher has left, and the same at another ingest, where one has come."""
    template = replace(TEMPLATE, away_picture=away_picture)
    old = StreamRig(replace(ANSWER, template=template)).live()
    old.stream.leave("reset", 100.5)
    kept = old.stream.transfer()
    resume = old.stream.hand_over("elsewhere")
    assert kept is not None
    assert old.state() is StreamState.ENDED
    generation = Generation(2)
    new = StreamRig(replace(ANSWER, template=template, generation=generation, resume_time=resume))
    assert new.stream.go_on_from(unpack(*kept), kept[0].format)
    return old, new


def test_a_stream_from_another_ingest_starts_at_its_worker_before_the_first_keyframe() -> None:
    _, new = moved()
    assert new.state() is StreamState.WAITING
    assert new.egress.kinds() == ["StreamOpen", "RenditionOpen"], "egress has the pictures"
    assert new.egress.of(StreamOpen)[0].generation == 2
    assert new.worker.kinds() == ["StreamStart", "AccessUnit", "AccessUnit", "StreamPause"]
    assert new.worker.of(StreamStart)[0].resume_after_ms == 40
    assert all(unit.replay for unit in new.worker.of(AccessUnit))
    new.stream.configure(config(), 101.0)
    new.put(0, key=True, at_s=101.0)
    assert new.worker.of(AccessUnit)[-1].dts_ms == 1_000
    assert new.worker.of(VideoHeader) == [], "the same parameter sets"
    assert new.told == [], "and the same format"


def test_a_stream_from_another_ingest_pauses_where_nothing_stands_in() -> None:
    _, new = moved(AwayPicture.NONE)
    assert new.worker.of(StreamPause) == []


def test_a_worker_lost_before_the_new_publishers_keyframe_is_replaced_from_what_was_kept() -> None:
    _, new = moved()
    other = RememberingPort(CPU1)
    new.peers.workers = {other.child: other}
    new.stream.peers_changed(101.0)
    new.stream.place(
        replace(
            ANSWER,
            request_id=0,
            generation=Generation(3),
            worker=other.child,
            resume_after_ms=900,
        )
    )
    assert other.kinds() == ["StreamStart", "AccessUnit", "AccessUnit", "StreamPause"]
    assert other.of(StreamStart)[0].resume_after_ms == 900


def test_an_egress_that_comes_before_the_new_publishers_keyframe_gets_what_was_kept() -> None:
    _, new = moved()
    late = RememberingPort(EGRESS1)
    new.peers.running.append(late)
    new.stream.peers_changed(101.0)
    assert late.kinds() == ["StreamOpen", "RenditionOpen", "Tags"]
    assert [entry.dts_ms for entry in late.of(Tags)[0].tags] == [0, 40]


def test_a_publisher_that_goes_before_its_keyframe_leaves_a_stream_that_is_held() -> None:
    _, new = moved()
    new.stream.leave("reset", 101.0)
    assert new.state() is StreamState.HELD
    assert new.stream.transfer() is not None, "and a third ingest can have it"


def test_what_was_kept_comes_too_late_once_the_new_publisher_has_said_its_headers() -> None:
    old = StreamRig().live()
    kept = old.stream.transfer()
    resume = old.stream.hand_over("elsewhere")
    assert kept is not None
    new = StreamRig(replace(ANSWER, generation=Generation(2), resume_time=resume))
    new.stream.configure(config(SPS_720), 101.0)
    assert not new.stream.go_on_from(unpack(*kept), kept[0].format)
    assert new.stream.status(101.0).format == new.asked.format
    assert new.worker.sent == []


def test_a_stream_that_began_anew_takes_nothing_of_one_that_ended() -> None:
    kept = StreamRig().live().stream.transfer()
    assert kept is not None
    new = StreamRig()
    assert not new.stream.go_on_from(unpack(*kept), kept[0].format)


def test_the_epoch_is_found_with_the_first_media_and_goes_along() -> None:
    old, new = moved()
    silent, first = old.egress.of(StreamOpen)[:2]
    assert silent.epoch_ms is None, "no media has come"
    assert first.epoch_ms is not None
    assert old.stream.status(100.0).epoch_ms == first.epoch_ms
    new.stream.configure(config(), 160.0)
    new.put(0, key=True, at_s=160.0)
    opened = new.egress.of(StreamOpen)
    assert {message.epoch_ms for message in opened} == {first.epoch_ms}
    assert new.stream.status(160.0).epoch_ms == first.epoch_ms

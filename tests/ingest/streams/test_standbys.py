"""A publisher that stands by: what becomes of it, and that nothing of two is ever mixed."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.access.refusal import Refusal, RefusalReason
from common.ipc.control_messages import PublishEnd, PublisherBack, PublishRequest
from common.ipc.identity import StreamId
from common.ipc.media_messages import RenditionOpen
from ingest.streams.backup_rules import PublisherRole, Wanted
from tests.kit.ingest_ports import SPS_720, STREAM, header, picture, sound, sound_header
from tests.kit.registry_rig import FakeConnection, RegistryRig

MAIN_PICTURE, BACKUP_PICTURE = 20, 33  # bytes of a picture


def rig(**changes: Any) -> RegistryRig:
    around = RegistryRig()
    around.template = replace(around.template, takes_backup=True, **changes)
    around.settings = replace(around.settings, templates=(around.template,))
    around.streams.settings = around.settings
    return around


def peer(number: int) -> FakeConnection:
    return FakeConnection(peer=f"203.0.113.7:{number}")


class Two:
    """A main publisher on the air, and a backup; `send` lets both send 40 ms."""

    def __init__(self, around: RegistryRig, backup_ahead_ms: int = 700_000) -> None:
        self.around, self.now = around, 100.0
        self.main: FakeConnection | None = around.live()
        self.backup: FakeConnection | None = around.publish("live/cam#backup", 100.0, peer(2))
        self.ahead_ms = backup_ahead_ms
        around.media(self.backup, [header(), sound_header()], 100.0)
        self.frames = 0

    def send(self, frames: int = 1, *, main: bool = True, backup: bool = True) -> None:
        for _ in range(frames):
            self.now += 0.04
            self.frames += 1
            at_ms, is_key = 40 * self.frames, self.frames % 10 == 0
            if self.main is not None and main:
                here = picture(at_ms, key=is_key, size=MAIN_PICTURE)
                self.around.media(self.main, [here, sound(at_ms + 5)], self.now)
            if self.backup is not None and backup:
                there_ms = at_ms + self.ahead_ms
                there = picture(there_ms, key=self.frames % 10 == 5, size=BACKUP_PICTURE)
                self.around.media(self.backup, [there, sound(there_ms + 3)], self.now)
            if self.frames % 3 == 0:
                self.around.tick(self.now)

    def lose_main(self) -> None:
        assert self.main is not None
        self.around.streams.lost(self.main, "reset", self.now)
        self.main = None

    def on_air(self) -> PublisherRole:
        streams = self.around.streams
        connection = streams.publisher_of(STREAM)
        assert connection is not None
        return streams.publisher(connection).role


def sent_pictures(around: RegistryRig) -> list[tuple[int, bool, int]]:
    """DTS, whether it is a keyframe, and size, of each picture that egress got."""
    found = []
    for message, payloads in around.peers.running[0].sent:
        if type(message).__name__ == "Tags" and message.rendition == "source":
            for tag, body in zip(message.tags, payloads, strict=True):
                if not tag.flags & 4:
                    found.append((tag.dts_ms, bool(tag.flags & 1), len(body)))
    return found


def test_it_stands_by_and_nothing_of_it_is_sent() -> None:
    around = rig()
    two = Two(around)
    two.send(40)
    assert two.backup is not None
    assert two.backup.accepted
    assert two.on_air() is PublisherRole.MAIN
    assert around.count(PublishRequest) == 1, "the supervisor is asked for no room"
    sizes = {size for _, _, size in sent_pictures(around)}
    assert len(sizes) == 1, "only the main publisher's"
    (status,) = around.streams.statuses(two.now)
    assert (status.role, status.switches) == ("main", 0)
    assert status.standby is not None
    assert (status.standby.role, status.standby.is_ready) == ("backup", True)
    assert status.standby.format is not None
    assert status.standby.format.width == 1920


@pytest.mark.parametrize("how", ["lost", "stopped"])
def test_who_leaves_is_replaced_at_a_keyframe_and_time_goes_on(how: str) -> None:
    around = rig()
    two = Two(around)
    two.send(22)
    before = sent_pictures(around)
    if how == "lost":
        two.lose_main()
    else:
        assert two.main is not None
        around.streams.ended(two.main, "deleteStream")
        two.main = None
    two.send(20)
    pictures = sent_pictures(around)[len(before) :]
    assert two.on_air() is PublisherRole.BACKUP
    assert pictures[0][1], "it begins at a keyframe"
    assert pictures[0][0] > before[-1][0]
    assert pictures[0][0] - before[-1][0] <= 400 + 200, "at the next keyframe"
    assert not around.count(PublishEnd)
    assert around.closed()[-1] > 0
    assert around.last(PublisherBack).address == "203.0.113.7:2"
    (status,) = around.streams.statuses(two.now)
    assert (status.role, status.switches, status.standby) == ("backup", 1, None)


def test_a_backup_of_another_size_is_announced_with_its_own_header() -> None:
    around = rig()
    two = Two(around)
    assert two.backup is not None
    around.media(two.backup, [header(SPS_720)], 100.0)
    two.send(12)
    two.lose_main()
    two.send(20)
    opened = around.peers.running[0].of(RenditionOpen)[-1]
    assert opened.video is not None
    assert opened.video.width == 1280


def test_it_is_gone_over_to_when_pictures_stop_and_gone_back_from_when_they_are_good() -> None:
    around = rig(backup_after_s=2.0, backup_return_s=1.0)
    two = Two(around)
    two.send(20)
    two.send(40, main=False)
    assert two.on_air() is PublisherRole.MAIN, "1.6 s without a picture"
    two.send(30, main=False)
    assert two.on_air() is PublisherRole.BACKUP
    two.send(20)
    assert two.on_air() is PublisherRole.BACKUP, "the main one is good for less than a second"
    two.send(30)
    assert two.on_air() is PublisherRole.MAIN
    (status,) = around.streams.statuses(two.now)
    assert status.switches == 2
    assert status.standby is not None
    assert two.main is not None
    assert not two.main.told
    assert two.backup is not None
    assert not two.backup.told


def test_a_main_publisher_that_comes_while_its_backup_is_on_the_air_stands_by_first() -> None:
    around = rig(backup_return_s=0.5)
    two = Two(around)
    two.send(12)
    two.lose_main()
    two.send(20)
    assert two.on_air() is PublisherRole.BACKUP
    two.main = around.publish("live/cam", two.now, peer(3))
    around.media(two.main, [header()], two.now)
    two.send(5)
    assert two.on_air() is PublisherRole.BACKUP
    two.send(40)
    assert two.on_air() is PublisherRole.MAIN


def test_an_operators_word_holds_and_is_for_one_that_is_there() -> None:
    around = rig(backup_return_s=0.5)
    two = Two(around)
    two.send(12)
    standbys = around.streams.standbys
    assert not standbys.want(STREAM, Wanted(PublisherRole.BACKUP, "the operator wants it"))
    two.send(60)
    assert two.on_air() is PublisherRole.BACKUP
    standbys.want(STREAM, None)
    two.send(40)
    assert two.on_air() is PublisherRole.MAIN
    assert two.backup is not None
    around.streams.lost(two.backup, "reset", two.now)
    assert "not there" in standbys.want(STREAM, Wanted(PublisherRole.BACKUP, "likewise"))


def test_a_stream_that_is_ended_ends_both() -> None:
    around = rig()
    two = Two(around)
    two.send(12)
    stream = around.streams.get(STREAM)
    assert stream is not None
    assert two.backup is not None
    assert two.main is not None
    around.streams.end_for(stream, Refusal(RefusalReason.KICKED, "kicked"), two.now)
    assert two.main.told
    assert two.backup.told
    assert not len(around.streams.standbys)
    assert len(around.streams) == 0


def test_one_that_stands_by_may_leave_and_another_may_come() -> None:
    around = rig()
    two = Two(around)
    two.send(12)
    assert two.backup is not None
    around.streams.lost(two.backup, "reset", two.now)
    two.backup = None
    two.send(12)
    assert two.on_air() is PublisherRole.MAIN
    assert not len(around.streams.standbys)
    again = around.publish("live/cam?backup=1", two.now, peer(4))
    assert again.accepted
    assert len(around.streams.standbys) == 1
    second = around.publish("live/cam?backup=1", two.now, peer(5))
    assert second.told, "one stands by already"
    assert not second.accepted


def test_one_that_stood_by_and_has_ended_unread_makes_way() -> None:
    around = rig()
    two = Two(around)
    two.send(12)
    first = two.backup
    assert first is not None
    first.on_look = lambda: around.streams.lost(first, "reset", two.now)
    third = around.publish("live/cam#backup", two.now, peer(3))
    assert third.accepted


def test_a_backup_alone_publishes() -> None:
    around = rig()
    first = around.live(path="live/cam#backup")
    assert first.accepted
    (status,) = around.streams.statuses(100.0)
    assert (status.stream_id, status.role) == (StreamId("live/cam"), "backup")


def test_an_app_that_takes_none_refuses_it() -> None:
    around = RegistryRig()
    around.live()
    backup = around.publish("live/cam#backup", 101.0, peer(2))
    assert not backup.accepted
    assert "backup" in backup.told[0][1]


def test_one_at_another_address_without_a_key_may_not_stand_by() -> None:
    around = rig()
    around.live()
    stranger = FakeConnection(host="198.51.100.9", peer="198.51.100.9:1")
    around.publish("live/cam#backup", 101.0, stranger)
    assert not stranger.accepted
    assert "address" in stranger.told[0][1]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("both"), st.integers(1, 30)),
        st.tuples(st.just("main"), st.integers(1, 80)),
        st.tuples(st.just("backup"), st.integers(1, 80)),
        st.tuples(st.just("order"), st.sampled_from(list(PublisherRole))),
        st.tuples(st.just("lose"), st.just(0)),
        st.tuples(st.just("again"), st.just(0)),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(-5_000, 5_000_000))
def test_whatever_happens_nothing_is_mixed_and_time_goes_up(
    steps: list[tuple[str, Any]], ahead_ms: int
) -> None:
    around = rig(backup_after_s=1.0, backup_return_s=0.5)
    two = Two(around, max(0, ahead_ms))
    for what, value in steps:
        match what:
            case "both":
                two.send(value)
            case "main":
                two.send(value, backup=False)
            case "backup":
                two.send(value, main=False)
            case "order":
                around.streams.standbys.want(STREAM, Wanted(value, "wanted"))
            case "lose" if two.main is not None and two.backup is not None:
                two.lose_main()
            case "again" if two.main is None:
                two.main = around.publish("live/cam", two.now, peer(9))
                if two.main.accepted:
                    around.media(two.main, [header()], two.now)
                else:
                    two.main = None
            case _:
                pass
    pictures = sent_pictures(around)
    times = [dts_ms for dts_ms, _, _ in pictures]
    assert times == sorted(set(times))
    sizes = [size for _, _, size in pictures]
    for (_, is_key, size), before in zip(pictures[1:], sizes, strict=False):
        assert size == before or is_key, "another's pictures begin with a keyframe"

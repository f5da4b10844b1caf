"""egress/fanout/player_queue.py: joining, lagging, dropping, resuming."""

import pytest

from common.config.settings import EgressSettings
from common.ipc.media_messages import HEADER, KEY
from egress.fanout import entries as kinds
from egress.fanout.entries import AUDIO, VIDEO, Entry
from egress.fanout.player_queue import MAX_CONTROL_BYTES, Phase, Player
from egress.streams.subscribers import Start
from tests.kit.egress import (
    AUDIO_HEADER,
    METADATA,
    RTMP_FORM,
    VIDEO_HEADER,
    EntryFeed,
    Screen,
    messages,
    picture,
    sound,
    texts,
)


class Source:
    """A buffer that is fed a picture every 40 ms and a sound with each, `lead_ms` ahead of it."""

    def __init__(self, gop: int = 25, lead_ms: int = 0) -> None:
        self.buffer = EntryFeed()
        self.gop = gop
        self.lead_ms = lead_ms
        self.frames = 0
        self.buffer.add(kinds.METADATA, 0, 0, METADATA)
        self.buffer.add(VIDEO, 0, HEADER, VIDEO_HEADER)
        self.buffer.add(AUDIO, 0, HEADER, AUDIO_HEADER)

    def next(self, count: int = 1) -> list[Entry]:
        entries = []
        for _ in range(count):
            dts_ms = self.frames * 40
            is_key = self.frames % self.gop == 0
            entries.append(
                self.buffer.add(VIDEO, dts_ms, KEY if is_key else 0, picture(f"v{dts_ms}", is_key))
            )
            audio_ms = dts_ms + self.lead_ms
            entries.append(self.buffer.add(AUDIO, audio_ms, 0, sound(f"a{audio_ms}")))
            self.frames += 1
        return entries


def joined(source: Source, start: Start = Start.GOP, queue_ms: int = 1000) -> Player:
    player = Player(queue_ms)
    player.join(source.buffer, start, RTMP_FORM, len(source.buffer.gop))
    return player


def drain(player: Player) -> bytes:
    got = b""
    while player.has_queue:
        data = b"".join(player.buffers())
        got += data
        player.sent(len(data))
    return got


def test_a_joiner_gets_headers_then_everything_since_the_last_keyframe() -> None:
    source = Source()
    source.next(3)
    player = joined(source)
    assert texts(drain(player)) == ["M", "H", "h", "v0", "a0", "v40", "a40", "v80", "a80"]
    assert player.is_in_step(source.buffer)


def test_headers_have_the_first_frames_time() -> None:
    source = Source(gop=2)
    source.next(3)
    read = messages(drain(joined(source)))
    assert [m.timestamp for m in read] == [0, 80, 80, 80, 80]


def test_a_live_joiner_waits_for_the_next_keyframe() -> None:
    source = Source(gop=3)
    source.next(2)
    player = joined(source, Start.LIVE)
    assert not player.has_queue
    player.offer(source.next(1))
    assert not player.has_queue
    assert player.dropped == 0
    player.offer(source.next(2))
    assert texts(drain(player)) == ["M", "H", "h", "v120", "a120", "v160", "a160"]
    assert player.is_in_step(source.buffer)


def test_a_joiner_without_audio_in_its_gop_is_not_in_step_before_it_got_some() -> None:
    source = Source()
    buffer = source.buffer
    buffer.add(AUDIO, 0, 0, sound("a0"))
    key = buffer.add(VIDEO, 40, KEY, picture("v40", True))
    player = joined(source)
    assert texts(drain(player)) == ["M", "H", "h", "v40"]
    assert not player.is_in_step(buffer)
    player.offer([buffer.add(AUDIO, 45, 0, sound("a45"))])
    assert texts(drain(player)) == ["a45"]
    assert player.is_in_step(buffer)
    assert key.is_key


def test_a_partly_sent_flush_is_finished_before_anything_else() -> None:
    source = Source()
    source.next(1)
    player = joined(source)
    got = drain(player)
    entries = source.next(1)
    data = b"".join(entry.shared(RTMP_FORM) for entry in entries)
    player.fall_behind(data, 5, entries)
    got += data[:5]
    player.control(b"")
    player.offer(source.next(1))
    assert not player.is_in_step(source.buffer)
    got += drain(player)
    assert texts(got)[-4:] == ["v40", "a40", "v80", "a80"]
    assert player.is_in_step(source.buffer)


def test_over_the_bound_video_is_dropped_to_a_keyframe_and_audio_is_kept() -> None:
    source = Source(gop=10)
    source.next(1)
    player = joined(source, queue_ms=1000)
    got = drain(player)
    player.offer(source.next(30))
    assert player.dropped > 0
    got += drain(player)
    read = texts(got)
    sounds = [word for word in read if word[0] == "a"]
    assert sounds == [f"a{i * 40}" for i in range(31)]
    pictures = [word for word in read if word[0] in "vH"]
    assert pictures[:3] == ["H", "v0", "H"]
    assert pictures[3] == "v1200"
    assert player.dropped == 31 - 2
    assert player.is_in_step(source.buffer)


def test_without_a_recent_keyframe_video_waits_for_the_next() -> None:
    source = Source(gop=60)
    source.next(1)
    player = joined(source, queue_ms=1000)
    screen = Screen()
    screen.words(drain(player))
    player.offer(source.next(40))
    assert [w for w in screen.words(drain(player)) if w[0] == "v"] == []
    assert not player.is_in_step(source.buffer)
    dropped = player.dropped
    player.offer(source.next(19))
    assert player.dropped == dropped + 19
    player.offer(source.next(1))
    assert [w for w in screen.words(drain(player)) if w[0] in "vH"] == ["H", "v2400"]
    assert player.is_in_step(source.buffer)


@pytest.mark.parametrize("lead_ms", [-5000, -2500, 900, 1200, 5000])
def test_a_short_stall_costs_nothing_where_one_kind_is_ahead_of_the_other(lead_ms: int) -> None:
    source = Source(gop=50, lead_ms=lead_ms)
    source.frames = 150  # the times of both begin above 0
    source.next(10)
    player = joined(source, queue_ms=1000)
    drain(player)
    for _ in range(5):
        player.offer(source.next(1))
    drain(player)
    for _ in range(100):
        player.offer(source.next(1))
        drain(player)
    assert player.dropped == 0
    assert player.is_in_step(source.buffer)


@pytest.mark.parametrize("lead_ms", [0, 1500])
def test_a_long_stall_costs_video_up_to_a_keyframe_wherever_audio_is(lead_ms: int) -> None:
    source = Source(gop=10, lead_ms=lead_ms)
    source.next(1)
    player = joined(source, queue_ms=1000)
    screen = Screen()
    screen.words(drain(player))
    player.offer(source.next(30))
    read = screen.words(drain(player))
    assert [word for word in read if word[0] in "vH"] == ["H", "v1200"]
    assert len([word for word in read if word[0] == "a"]) == 30
    assert player.is_in_step(source.buffer)


@pytest.mark.parametrize("lead_ms", [-1500, 1500])
def test_the_gop_of_the_start_is_no_lag_where_audio_is_elsewhere(lead_ms: int) -> None:
    source = Source(gop=1000, lead_ms=lead_ms)
    source.frames = 50
    source.buffer.add(VIDEO, 1960, KEY, picture("v1960", True))
    source.next(60)
    player = joined(source, queue_ms=1000)
    player.offer(source.next(20))
    assert player.dropped == 0


def test_a_player_of_another_stream_with_an_earlier_time_is_not_behind() -> None:
    source = Source()
    source.frames = 100_000
    source.next(1)
    player = joined(source)
    drain(player)
    player.leave(discard=True)
    other = Source()
    other.next(1)
    player.join(other.buffer, Start.GOP, RTMP_FORM, len(other.buffer.gop))
    player.offer(other.next(5))
    assert player.dropped == 0


def test_a_message_under_way_of_an_earlier_stream_is_no_lag_in_a_later_one() -> None:
    source = Source()
    source.next(1)
    player = joined(source)
    drain(player)
    player.offer(source.next(1))
    rest = b"".join(player.buffers()[:1])[3:]
    player.sent(3)
    player.leave(discard=True)
    other = Source()
    other.frames = 100_000
    other.next(1)
    player.join(other.buffer, Start.GOP, RTMP_FORM, len(other.buffer.gop))
    player.offer(other.next(1))
    assert player.dropped == 0
    assert player.lag_ms == 40
    assert drain(player).startswith(rest)
    assert player.lag_ms == 0


def test_audio_that_begins_late_and_behind_the_video_is_heard_by_all() -> None:
    buffer = EntryFeed()
    buffer.add(VIDEO, 0, HEADER, VIDEO_HEADER)
    buffer.add(VIDEO, 5000, KEY, picture("v5000", True))
    early = Player(1000)
    early.join(buffer, Start.GOP, RTMP_FORM, len(buffer.gop))
    screen = Screen()
    screen.words(drain(early))
    assert early.is_in_step(buffer)
    late = [
        buffer.add(AUDIO, 5000, HEADER, AUDIO_HEADER),
        buffer.add(AUDIO, 4000, 0, sound("a4000")),
        buffer.add(AUDIO, 4020, 0, sound("a4020")),
    ]
    joiner = Player(1000)
    joiner.join(buffer, Start.GOP, RTMP_FORM, len(buffer.gop))
    heard = ["h", "a4000", "a4020"]
    assert screen.words(b"".join(entry.shared(RTMP_FORM) for entry in late)) == heard
    assert texts(drain(joiner)) == ["H", "v5000", *heard]


def test_audio_is_bounded_too_and_comes_back_with_its_header() -> None:
    source = Source(gop=1000)
    source.next(1)
    player = joined(source, queue_ms=400)
    drain(player)
    for _ in range(60):
        player.offer(source.next(1))
    assert player.lag_ms <= 2 * 400 + 40
    read = texts(drain(player))
    assert read[0] == "h"
    assert read[1:] == [f"a{t}" for t in range(int(read[1][1:]), 2401, 40)]


def test_the_gop_given_at_the_start_is_no_lag() -> None:
    source = Source(gop=1000)
    source.next(100)
    player = joined(source, queue_ms=1000)
    player.offer(source.next(20))
    assert player.dropped == 0
    player.offer(source.next(10))
    assert player.dropped > 0


def test_a_joiner_that_reads_no_faster_than_real_time_is_not_cut() -> None:
    source = Source(gop=100)
    source.next(90)
    player = joined(source, queue_ms=EgressSettings().queue_ms)
    behind_ms = player.lag_ms
    for _ in range(500):
        player.offer(source.next(1))
        player.sent(sum(map(len, player.buffers()[:2])))  # as much as one step brings
    assert behind_ms > 3_000
    assert player.lag_ms >= behind_ms - 200
    assert player.dropped == 0


def test_a_message_under_way_survives_a_drop() -> None:
    source = Source(gop=10)
    source.next(1)
    player = joined(source, queue_ms=700)
    got = drain(player)
    player.offer(source.next(1))
    head = b"".join(player.buffers())[:4]
    player.sent(4)
    player.offer(source.next(29))
    assert player.dropped > 0
    read = texts(got + head + drain(player))
    assert "v40" in read
    assert [w for w in read if w[0] == "a"] == [f"a{i * 40}" for i in range(31)]


def test_answers_go_out_before_media_and_in_order() -> None:
    source = Source()
    source.next(1)
    player = joined(source)
    player.control(b"one")
    player.control(b"two")
    assert drain(player).startswith(b"onetwo")


def test_answers_wait_for_the_message_under_way() -> None:
    source = Source()
    source.next(1)
    player = joined(source)
    first = player.buffers()[0]
    player.sent(3)
    player.control(b"one")
    player.control(b"two")
    rest = drain(player)
    assert rest[: len(first) - 3] == first[3:]
    assert rest[len(first) - 3 :].startswith(b"onetwo")


def test_answers_that_nobody_takes_are_a_flood() -> None:
    player = Player(1000)
    player.control(bytes(MAX_CONTROL_BYTES))
    assert not player.is_flooding
    player.control(b"x")
    assert player.is_flooding
    drain(player)
    assert not player.is_flooding


def test_a_pause_stops_and_resuming_begins_at_a_new_keyframe() -> None:
    source = Source(gop=5)
    source.next(2)
    player = joined(source)
    drain(player)
    player.pause(source.buffer)
    player.offer(source.next(1))
    assert not player.has_queue
    assert not player.is_in_step(source.buffer)
    player.resume(source.buffer, len(source.buffer.gop))
    assert player.phase is Phase.WAITING  # the keyframe of 0 ms was shown already
    player.offer(source.next(3))
    assert texts(drain(player)) == ["M", "H", "h", "v200", "a200"]
    player.pause(source.buffer)
    source.next(6)
    player.resume(source.buffer, len(source.buffer.gop))
    assert texts(drain(player))[:4] == ["M", "H", "h", "v400"]
    assert player.dropped == 0


def test_a_player_may_leave_out_audio_or_video_and_take_it_up_again() -> None:
    source = Source(gop=3)
    source.next(1)
    player = joined(source)
    screen = Screen()
    screen.words(drain(player))
    player.receive(audio=False, video=True)
    player.offer(source.next(1))
    assert screen.words(drain(player)) == ["v40"]
    assert player.is_in_step(source.buffer)
    player.receive(audio=True, video=False)
    assert not player.is_in_step(source.buffer)
    player.offer(source.next(1))
    assert screen.words(drain(player)) == ["a80"]
    player.receive(audio=True, video=True)
    player.offer(source.next(2))
    assert screen.words(drain(player)) == ["H", "v120", "a120", "v160", "a160"]
    assert player.dropped == 0


def test_leaving_discards_what_waits_but_not_a_message_under_way() -> None:
    source = Source()
    source.next(2)
    player = joined(source)
    first = player.buffers()[0]
    player.sent(3)
    player.leave(discard=True)
    assert drain(player) == first[3:]
    player.offer(source.next(1))
    assert not player.has_queue


def test_a_header_change_reaches_a_player_who_lags() -> None:
    source = Source(gop=2)
    source.next(1)
    player = joined(source, queue_ms=200)
    drain(player)
    player.offer(source.next(3))
    changed = VIDEO_HEADER + b"2"
    header = source.buffer.add(VIDEO, 160, HEADER, changed)
    player.offer([header, *source.next(20)])
    assert player.dropped > 0
    headers = [m.payload for m in messages(drain(player)) if m.type_id == 9 and m.payload[1] == 0]
    assert headers[-1] == changed

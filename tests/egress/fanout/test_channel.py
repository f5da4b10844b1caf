"""egress/fanout/channel.py: groups in step, and what each player gets whatever its socket takes."""

import socket

from hypothesis import given, settings
from hypothesis import strategies as st

from egress.fanout.channel import Channel
from egress.fanout.player_queue import Phase
from egress.rtmp.from_units import RtmpForm
from egress.streams.subscribers import Start
from tests.kit.egress import (
    METADATA,
    VIDEO_HEADER,
    MemorySink,
    Screen,
    WatchedPlayer,
    audio_header_tag,
    audio_tag,
    egress_rendition,
    give,
    give_shared,
    inter_tag,
    key_tag,
    texts,
)


class Feed:
    """A channel, fed frame by frame."""

    def __init__(self) -> None:
        self.rendition = egress_rendition()
        self.rendition.open(METADATA, VIDEO_HEADER, 0)
        give_shared(self.rendition, audio_header_tag(0))
        self.channel = Channel(self.rendition)
        self.number = 0
        self.log: list[str] = []  # what went out, in order

    def video(self, dts_ms: int, is_key: bool) -> None:
        before = self.rendition.frames
        give(self.rendition, self.number, key_tag(dts_ms) if is_key else inter_tag(dts_ms))
        self.number += 1
        if self.rendition.frames > before:
            self.log.append(f"v{dts_ms}" + ("K" if is_key else ""))

    def audio(self, dts_ms: int) -> None:
        give_shared(self.rendition, audio_tag(dts_ms))
        self.log.append(f"a{dts_ms}")

    def flush(self) -> None:
        self.rendition.flush()


def begun() -> Feed:
    """A rendition that players can start from."""
    feed = Feed()
    feed.video(0, True)
    feed.audio(0)
    feed.flush()
    return feed


def test_players_in_step_get_the_same_bytes_by_one_send_a_flush() -> None:
    feed = begun()
    sinks = [MemorySink() for _ in range(5)]
    for sink in sinks:
        sink.join(feed.channel)
    assert not feed.channel.behind
    for i in range(1, 11):
        feed.video(i * 40, False)
        feed.audio(i * 40)
        feed.flush()
    assert len({bytes(sink.got) for sink in sinks}) == 1
    assert [sink.sends for sink in sinks] == [10] * 5
    assert texts(bytes(sinks[0].got))[-2:] == ["v400", "a400"]
    assert feed.channel.players == 5


def test_players_behind_a_gop_that_is_not_kept_see_its_keyframe_until_the_next_one() -> None:
    feed = begun()
    there = MemorySink()
    there.join(feed.channel)

    def go_on(*seconds: int) -> None:
        for at in seconds:
            feed.video(at * 1_000, at % 30 == 0)
            feed.audio(at * 1_000)
            feed.flush()

    go_on(*range(1, 24))
    first, second, live = MemorySink(), MemorySink(), MemorySink()
    first.join(feed.channel)
    still = ["M", "H", "h", "v0@23000"]
    assert texts(bytes(first.got)) == still
    go_on(24, 25)
    second.join(feed.channel)
    live.join(feed.channel, Start.LIVE)
    go_on(26, 30, 31)
    tail = ["v30000", "a30000", "v31000", "a31000"]
    assert texts(bytes(first.got)) == [*still, "a24000", "a25000", "a26000", "H", *tail]
    assert texts(bytes(second.got)) == [*still[:3], "v0@25000", "a26000", "H", *tail]
    assert texts(bytes(live.got)) == ["M", "H", "h", *tail]
    between = ["v24000", "a24000", "v25000", "a25000", "v26000", "a26000"]
    assert texts(bytes(there.got))[-10:] == [*between, *tail]
    assert not feed.channel.behind


def test_a_first_player_behind_a_gop_that_is_not_kept_sees_its_keyframe() -> None:
    feed = begun()
    for at in range(1, 24):
        feed.video(at * 1_000, False)
        feed.flush()
    for _ in range(2):
        sink = MemorySink()
        sink.join(feed.channel)
        assert texts(bytes(sink.got)) == ["M", "H", "h", "v0@23000"]


def test_a_full_socket_leaves_the_group_and_comes_back() -> None:
    feed = begun()
    quick, slow = MemorySink(), MemorySink()
    quick.join(feed.channel)
    slow.join(feed.channel)
    slow.room = 7
    for i in range(1, 6):
        feed.video(i * 40, False)
        feed.flush()
    assert feed.channel.behind == {slow}
    assert slow.got != quick.got
    slow.room = 1 << 20
    slow.pump()
    assert not feed.channel.behind
    assert slow.got == quick.got


def test_a_broken_socket_ends_one_player_only() -> None:
    feed = begun()
    sinks = [MemorySink() for _ in range(3)]
    for sink in sinks:
        sink.join(feed.channel)
    error = ConnectionResetError(104, "reset")
    sinks[1].error = error
    feed.video(40, False)
    feed.flush()
    assert texts(bytes(sinks[0].got))[-1] == "v40"
    assert texts(bytes(sinks[2].got))[-1] == "v40"
    assert sinks[1].player.phase is Phase.IDLE
    feed.channel.remove(sinks[1])
    feed.video(80, False)
    feed.flush()
    assert sinks[1].sends == 1
    assert feed.channel.players == 2


def test_leaving_in_any_order_keeps_the_others() -> None:
    feed = begun()
    sinks = [MemorySink() for _ in range(4)]
    for sink in sinks:
        sink.join(feed.channel)
    for i, leaver in enumerate((0, 3, 1)):
        feed.channel.remove(sinks[leaver])
        feed.video(40 + i * 40, False)
        feed.flush()
    assert texts(bytes(sinks[2].got))[-3:] == ["v40", "v80", "v120"]
    assert feed.channel.players == 1


def test_drops_of_players_who_left_still_count() -> None:
    feed = begun()
    sink = MemorySink(queue_ms=100)
    sink.join(feed.channel)
    sink.room = 0
    for i in range(1, 10):
        feed.video(i * 40, False)
        feed.flush()
    dropped = feed.channel.dropped()
    assert dropped > 0
    feed.channel.remove(sink)
    assert feed.channel.dropped() == dropped


def test_other_message_streams_are_other_groups() -> None:
    feed = begun()
    first, second = MemorySink(), MemorySink()
    first.join(feed.channel)
    second.join(feed.channel, Start.GOP, RtmpForm(5))
    feed.video(40, False)
    feed.flush()
    assert {m.message_stream_id for m in Screen().messages(bytes(first.got))} == {1}
    assert {m.message_stream_id for m in Screen().messages(bytes(second.got))} == {5}


def test_a_real_socket_that_fills_up_catches_up() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        feed = Feed()
        feed.video(0, True)
        feed.audio(0)
        feed.flush()
        sink = SocketSink(ours)
        sink.join(feed.channel)
        for i in range(1, 2000):
            feed.video(i, False)
            feed.flush()
        assert feed.channel.behind == {sink}
        theirs.settimeout(0.0)
        got = b""
        while feed.channel.behind:
            got += theirs.recv(1 << 16)
            sink.pump()
        try:
            while True:
                got += theirs.recv(1 << 16)
        except BlockingIOError:
            pass
        assert texts(got)[3:] == ["v0", "a0", *(f"v{i}" for i in range(1, 2000))]


class SocketSink(MemorySink):
    def __init__(self, peer: socket.socket) -> None:
        super().__init__(queue_ms=10_000)
        self._socket = self.peer = peer

    def pump(self) -> None:
        while self.player.has_queue:
            try:
                self.player.sent(self._socket.sendmsg(self.player.buffers()))
            except BlockingIOError:
                return
        assert self.channel is not None
        self.channel.caught_up(self)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("video"), st.integers(1, 8), st.integers(-1, 7), st.booleans()),
        st.tuples(st.just("audio"), st.integers(1, 3)),
        st.tuples(st.just("gap")),
        st.tuples(st.just("flush")),
        st.tuples(st.just("join"), st.sampled_from(list(Start))),
        st.tuples(st.just("room"), st.integers(0, 2), st.sampled_from([0, 1, 20, 90, 1 << 20])),
        st.tuples(st.just("leave"), st.integers(0, 5)),
    ),
    min_size=10,
    max_size=60,
)


@settings(max_examples=120, deadline=None)
@given(steps)
def test_every_player_gets_a_valid_stream_whatever_happens(
    script: list[tuple[str, *tuple[object, ...]]],
) -> None:
    feed = Feed()
    sinks: list[MemorySink] = []
    now_ms = taken_by_leavers = 0
    feed.video(0, True)
    feed.flush()
    for _ in range(2):
        sinks.append(MemorySink(queue_ms=200))
        sinks[-1].join(feed.channel)
    for step in script:
        match step:
            case ("video", int(count), int(key), bool(flushes)):
                for i in range(count):
                    now_ms += 40
                    feed.video(now_ms, i == key)
                    if flushes:
                        feed.flush()
            case ("audio", int(count)):
                for _ in range(count):
                    now_ms += 11
                    feed.audio(now_ms)
            case ("gap",):
                feed.number += 1
            case ("flush",):
                feed.flush()
            case ("join", Start() as start):
                sinks.append(MemorySink(queue_ms=200))
                sinks[-1].join(feed.channel, start)
            case ("room", int(which), int(room)) if which < len(sinks):
                sinks[which].room = room
                sinks[which].pump()
            case ("leave", int(which)) if which < len(sinks):
                if sinks[which].channel is not None:
                    taken_by_leavers += len(sinks[which].got)
                feed.channel.remove(sinks[which])
                sinks[which].channel = None
                sinks[which].player.leave(discard=False)
    feed.flush()
    taken = sum(len(sink.got) for sink in sinks if sink.channel is not None)
    assert feed.channel.sent_bytes() == taken + taken_by_leavers
    for sink in sinks:
        sink.room = 1 << 30
        sink.pump()
        check(texts(bytes(sink.got)), feed.log, sink)


def check(words: list[str], log: list[str], sink: MemorySink) -> None:
    """`words` is a stream that a decoder can play, and all of `log` but for what was dropped."""
    assert isinstance(sink.player, WatchedPlayer)
    if sink.player.begun_ms is None:
        assert words == []
        return
    assert words[0] == "M"
    assert all("@" not in word for word in words)  # every tag at its own time
    at = log.index(f"v{sink.player.begun_ms}K")
    missing = 0
    for kind in "va":
        ours = [(word.rstrip("K"), word.endswith("K")) for word in log[at:] if word[0] == kind]
        places = {word: i for i, (word, _) in enumerate(ours)}
        last = -1
        for i, word in enumerate(words):
            if word[0] != kind:
                continue
            place = places[word]
            assert place > last  # in order, none twice
            if last == -1 or place != last + 1:
                # At the start and after a drop: a keyframe, and its header before it.
                missing += place - last - 1
                if kind == "v":
                    assert ours[place][1]
                    assert "H" in words[i - 2 : i]
            last = place
        missing += len(ours) - last - 1
    if sink.channel is not None:
        assert missing == sink.player.dropped

"""One viewer's packets: no gap in their numbers, and each can be had again, within bounds."""

from hypothesis import given
from hypothesis import strategies as st

from common.rtp.header import parse
from common.rtp.history import History
from egress.rtc.track import FIRST_REPEATS, Numbers, Track

PLAIN = Numbers(11, 102, 90, 32_700, 2**32 - 50)
WITH_RTX = Numbers(11, 102, 90, 32_700, 2**32 - 50, 12, 103)


def test_numbers_go_on_over_any_histories():
    got: list[bytes] = []
    track = Track(PLAIN, got.append)
    one, other = History(), History()
    for number in range(20):
        history = one if number % 3 else other
        frame = history.append([b"a", b"b"], number * 40, is_key=True)
        if number % 5:  # some are left out
            track.send(history, frame)
    packets = [parse(packet) for packet in got]
    assert [packet.sequence for packet in packets] == [32_700 + at for at in range(len(packets))]
    assert [packet.is_marked for packet in packets[:4]] == [False, True, False, True]
    assert track.packets == track.octets == len(packets)


def test_what_is_repeated_without_rtx_is_the_same_packet():
    got: list[bytes] = []
    track, history = Track(PLAIN, got.append), History()
    for number in range(4):
        track.send(history, history.append([b"%d" % number, b"end"], number * 40, is_key=False))
    before = list(got)
    for at, packet in enumerate(before):
        assert track.repeat(32_700 + at)
        assert got[-1] == packet


def test_what_is_repeated_with_rtx_has_a_number_of_its_own():
    got: list[bytes] = []
    track, history = Track(WITH_RTX, got.append), History()
    track.send(history, history.append([b"one", b"two"], 40, is_key=True))
    assert track.repeat(32_701)
    assert track.repeat(32_700)
    first, second = parse(got[-2]), parse(got[-1])
    assert (first.ssrc, first.payload_type, first.is_marked) == (12, 103, True)
    assert first.payload == (32_701).to_bytes(2, "big") + b"two"
    assert second.sequence == first.sequence + 1
    assert first.timestamp == parse(got[0]).timestamp


def test_what_is_repeated_is_a_share_of_what_was_sent():
    got: list[bytes] = []
    track, history = Track(WITH_RTX, got.append), History()
    for number in range(20):
        track.send(history, history.append([b"x"], number * 40, is_key=False))
    assert sum(track.repeat(32_700) for _ in range(1000)) == FIRST_REPEATS + 7
    for number in range(10):
        track.send(history, history.append([b"x"], 800 + number * 40, is_key=False))
    assert sum(track.repeat(32_719) for _ in range(1000)) == 3


@given(
    steps=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4), st.booleans()), max_size=80),
    asked=st.lists(st.integers(0, 0xFFFF), max_size=20),
    has_rtx=st.booleans(),
)
def test_every_packet_that_is_kept_comes_back_as_it_was(steps, asked, has_rtx):
    got: list[bytes] = []
    track = Track(WITH_RTX if has_rtx else PLAIN, got.append)
    histories = [History(), History(), History()]
    for number, (place, size, is_replayed) in enumerate(steps):
        payloads = [b"%d.%d" % (number, at) for at in range(size)]
        track.until_ms = number * 40 + 100 if is_replayed else track.until_ms
        frame = histories[place].append(payloads, number * 40, is_key=number % 7 == 0)
        track.send(histories[place], frame)
    sent = [parse(packet) for packet in got]
    for packet in sent[-16:]:
        before = len(got)
        if not track.repeat(packet.sequence):
            continue
        again = parse(got[before])
        payload = again.payload[2:] if has_rtx else again.payload
        assert payload == packet.payload
        assert (again.timestamp, again.is_marked) == (packet.timestamp, packet.is_marked)
    for sequence in asked:  # any number gives a packet that was sent, or nothing
        before = len(got)
        if track.repeat(sequence):
            again = parse(got[before])
            assert (again.payload[2:] if has_rtx else again.payload) in [p.payload for p in sent]

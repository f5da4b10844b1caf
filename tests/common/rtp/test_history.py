"""Packets that are kept: for who lacks one, and for the next viewer."""

from hypothesis import given
from hypothesis import strategies as st

from common.rtp.history import KEEP_MS, MAX_GOP_MS, History


def fill(history, frames, *, gop=30, packets=3, size=100, step_ms=33):
    for number in range(frames):
        payloads = [bytes((number & 0xFF, place)) * (size // 2) for place in range(packets)]
        history.append(payloads, number * step_ms, is_key=number % gop == 0)


def packet(history, number):
    found = history.packet(number)
    assert found is not None
    return found


def test_a_packet_is_found_by_its_number():
    history = History()
    fill(history, 10)
    found = packet(history, 3 * 4 + 2)
    assert found.payload[:2] == bytes((4, 2))
    assert found.is_last
    assert not packet(history, 3 * 4 + 1).is_last
    assert history.packet(30) is None
    assert history.packet(-1) is None


def test_the_last_group_and_the_last_moment_are_kept():
    history = History()
    fill(history, 1000, gop=60)
    frames = history.since_key()
    assert [frames[0].is_key, len(frames)] == [True, 1000 - 960]
    oldest = next(at for at in range(3000) if history.packet(at))
    assert 999 * 33 - oldest // 3 * 33 in range(KEEP_MS - 33, KEEP_MS + 33)
    assert len(history) < 100


def test_a_group_too_long_is_no_start_and_costs_no_more():
    history = History()
    fill(history, 2000, gop=10_000)
    assert history.since_key() == []
    assert len(history) * 33 <= MAX_GOP_MS + 33
    history.append([b"key"], 2000 * 33, is_key=True)
    assert len(history.since_key()) == 1


@given(
    sizes=st.lists(st.integers(1, 900), min_size=1, max_size=200),
    gop=st.integers(1, 50),
    has_keys=st.booleans(),
)
def test_what_is_kept_is_bounded_and_right(sizes, gop, has_keys):
    history = History(has_keys=has_keys, max_bytes=5_000)
    made = []
    for number, size in enumerate(sizes):
        payload = bytes((number & 0xFF,)) * size
        frame = history.append([payload], number * 40, is_key=has_keys and number % gop == 0)
        made.append(payload)
        assert history.octets <= max(5_000, size)
        assert packet(history, frame.first).payload == payload
        kept = [at for at in range(len(made)) if history.packet(at) is not None]
        assert kept == list(range(kept[0], len(made)))
        assert all(packet(history, at).payload == made[at] for at in kept)
        assert len(kept) == len(history)
        since = history.since_key()
        assert not since or (since[0].is_key and not any(one.is_key for one in since[1:]))
        assert not since or since[-1] is frame

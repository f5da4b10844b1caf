"""egress/hls as a strict player sees it: every rule of rfc8216bis for servers, in virtual time."""

from collections.abc import Callable
from fractions import Fraction

import pytest

from tests.kit.hls_client import StrictClient
from tests.kit.hls_rig import HlsRig
from tests.kit.hls_rig_server import BEGIN_MS, RigServer
from tests.kit.ideal_hls import watch

LATE_S = 0.12  # a picture is held back until the next one, and time has steps


def watched(
    server: RigServer, seconds: float, *, slack_s: float = LATE_S, step_s: float = 0.02
) -> StrictClient:
    """A client that has watched, and has asked what a player does not ask."""
    client = StrictClient("/index.m3u8", slack_s=slack_s)
    watch(client, server.answer, seconds, step_s)
    for probe in client.probes(seconds):
        found = server.answer(probe.url, seconds)
        if found is not None:
            client.take(probe, found, seconds)
    return client


def rig(*, has_sound: bool = True) -> HlsRig:
    made = HlsRig()
    made.headers()
    if has_sound:
        made.sound_header()
    return made


@pytest.mark.parametrize("fps", [15, 20, 24, 25, Fraction(30_000, 1001), 30, 50], ids=str)
def test_a_steady_source_keeps_every_rule(fps: Fraction) -> None:
    client = watched(RigServer(rig(), fps=fps), 21.0)
    assert len(client.renditions) == 3
    for one in client.renditions.values():
        assert sum(found.whole is not None for found in one.found.values()) >= 9
        assert not one.bodies
        assert one.gone, "and of what has left the playlist"


@pytest.mark.parametrize("begin_ms", [4_520, 5_960, 123_456_000])
def test_it_does_wherever_in_a_segment_its_first_picture_is(begin_ms: int) -> None:
    client = watched(RigServer(rig(), begin_ms=begin_ms), 14.0)
    assert all(len(one.found) > 5 for one in client.renditions.values())


def test_pictures_without_sound_do_too() -> None:
    assert len(watched(RigServer(rig(has_sound=False)), 9.0).renditions) == 2


def at(ms: int, do: Callable[[HlsRig], None]) -> Callable[[HlsRig, int], None]:
    """Do something once, at a time of the source."""
    done: list[int] = []

    def before(found: HlsRig, now_ms: int) -> None:
        if now_ms >= BEGIN_MS + ms and not done:
            done.append(now_ms)
            do(found)

    return before


def lose_worker(found: HlsRig) -> None:
    found.lose_worker()
    found.headers()


def change_size(found: HlsRig) -> None:
    found.lose_worker()
    found.headers("b")


@pytest.mark.parametrize(
    ("do", "at_ms"),
    [
        (lose_worker, 6_000),  # a keyframe comes at once
        (lose_worker, 6_760),  # it comes later: the last picture stands still
        (change_size, 6_000),
        (change_size, 6_760),
        (HlsRig.sound_header, 6_760),
    ],
)
def test_what_becomes_of_workers_and_configurations_keeps_every_rule(
    do: Callable[[HlsRig], None], at_ms: int
) -> None:
    """But for the pace, where there are no pictures until the next keyframe."""
    client = watched(RigServer(rig(), before=at(at_ms, do)), 14.0, slack_s=2.5)
    for one in client.renditions.values():
        assert one.playlist is not None
        assert one.playlist.last >= (8, 0)


@pytest.mark.parametrize(
    ("begin", "end"), [(6.5, 7.5), (6.5, 15.5), (7.96, 9.0), (8.0, 9.0), (8.0, 11.3)]
)
def test_a_publisher_who_is_away_for_a_while_is_a_gap(begin: float, end: float) -> None:
    """Within a segment, at its end, over several; but for the pace, of which there is none then."""
    server = RigServer(rig(), away=(begin, end))
    client = watched(server, end + 8.0, slack_s=end - begin + 2.5)
    for one in client.renditions.values():
        assert one.playlist is not None
        assert one.playlist.last[0] >= (BEGIN_MS / 1000 + end + 7) // 2, "numbers go on"

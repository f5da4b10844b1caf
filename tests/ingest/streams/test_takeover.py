"""Who may take a stream over: by its state, by what let both in, by their addresses."""

from dataclasses import replace

import pytest

from common.access.credentials import credentials
from common.access.keys import digest_of
from common.config.ladder import Takeover
from common.config.stream_keys import StreamKeys
from common.ipc.control_messages import PublishRequest, StreamRevoke, StreamRevoked
from tests.kit.ingest_ports import STREAM
from tests.kit.registry_rig import FakeConnection, RegistryRig

HERE = "203.0.113.7"
THERE = "198.51.100.9"
# What lets in, the key of the first, the key of the second, and whether these are one publisher's.
WHO = [
    ("nothing", "", "", "address"),
    ("app", "app1", "app1", True),
    ("app", "app1", "app2", False),
    ("stream", "cam", "cam", True),
    ("stream", "cam", "cam-next", True),
]
# Whether a takeover rule lets the state's publisher make way, if the newcomer is the same one.
STATES = {
    "speaking": {Takeover.ALWAYS: True, Takeover.IDLE: False, Takeover.NEVER: False},
    "silent": {Takeover.ALWAYS: True, Takeover.IDLE: True, Takeover.NEVER: False},
    "away": dict.fromkeys(Takeover, True),
    "ended": dict.fromkeys(Takeover, True),
}


def rig_with(by: str, takeover: Takeover) -> RegistryRig:
    around = RegistryRig(takeover)
    app = (digest_of("app1"), digest_of("app2")) if by == "app" else ()
    own: dict[str, StreamKeys] = {}
    if by == "stream":
        own[STREAM] = StreamKeys((digest_of("cam"), digest_of("cam-next")))
    around.template = replace(around.template, publish_keys=app)
    settings = replace(around.settings, templates=(around.template,), stream_keys=own)
    around.settings = around.streams.settings = settings
    return around


def peer(host: str) -> FakeConnection:
    return FakeConnection(host=host, peer=f"{host}:5000")


def in_state(around: RegistryRig, state: str, key: str) -> float:
    """A first publisher from HERE, in that state; the time by then."""
    first = around.live(path=f"live/cam?key={key}")
    if state == "away":
        around.streams.lost(first, "reset", 101.0)
    elif state == "ended":
        around.streams.ended(first, "deleteStream")
    return 103.0 if state == "silent" else 101.0


@pytest.mark.parametrize("takeover", Takeover)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("who", WHO, ids=lambda who: "-".join(map(str, who)))
@pytest.mark.parametrize("host", [HERE, THERE])
def test_only_the_same_publisher_takes_over_and_others_are_told_why(
    takeover: Takeover, state: str, who: tuple[str, str, str, bool | str], host: str
) -> None:
    by, first_key, second_key, is_same = who
    is_same = host == HERE if is_same == "address" else is_same
    around = rig_with(by, takeover)
    now = in_state(around, state, first_key)
    second = around.publish(f"live/cam?key={second_key}", now, peer(host))
    makes_way = STATES[state][takeover]
    if state == "ended":
        assert around.count(PublishRequest) == 2, "it is a stream of its own"
    elif makes_way and is_same:
        assert second.accepted
    else:
        assert not second.accepted
        ((code, words),) = second.told
        assert code == "NetStream.Publish.BadName"
        if makes_way:
            what = "from the same address" if by == "nothing" else "with the same publish key"
            assert what in words
            assert ("waits 10 s more" in words) is (state == "away")
        else:
            assert words == "the stream key is in use"


@pytest.mark.parametrize("state", ["away", "silent"])
@pytest.mark.parametrize("host", [HERE, THERE])
def test_at_another_ingest_the_same_rule_holds(state: str, host: str) -> None:
    around = rig_with("nothing", Takeover.IDLE)
    now = in_state(around, state, "")
    around.from_supervisor.revoke(StreamRevoke(3, STREAM, credentials(host, "")), now)
    refusal = around.last(StreamRevoked).refusal
    assert (refusal is None) is (host == HERE)


def test_the_publisher_is_the_one_that_came_last() -> None:
    around = rig_with("app", Takeover.ALWAYS)
    around.live(path="live/cam?key=app1")
    around.streams.settings = replace(
        around.settings, templates=(replace(around.template, publish_keys=(digest_of("app2"),)),)
    )
    second = around.publish("live/cam?key=app2", 101.0, peer(THERE))
    assert second.accepted, "the first one's key lets nobody in any more"
    around.streams.settings = around.settings
    third = around.publish("live/cam?key=app1", 102.0, peer(HERE))
    assert "with the same publish key" in third.told[0][1]
    (status,) = around.streams.statuses(102.0)
    assert status.owner == credentials(THERE, digest_of("app2")[:16])


def test_after_the_hold_anybody_may_have_the_name() -> None:
    around = rig_with("nothing", Takeover.IDLE)
    in_state(around, "away", "")
    assert around.publish(now=105.0, peer=peer(THERE)).told
    around.tick(112.0)
    around.publish(now=112.0, peer=peer(THERE))
    assert around.count(PublishRequest) == 2


@pytest.mark.parametrize("key", ["", "wrong", "app1"])
def test_a_stream_with_its_own_key_takes_no_other(key: str) -> None:
    around = rig_with("stream", Takeover.IDLE)
    app = replace(around.template, publish_keys=(digest_of("app1"),))
    around.streams.settings = replace(around.streams.settings, templates=(app,))
    told = around.publish(f"live/cam?key={key}" if key else "live/cam").told
    fault = "wrong" if key else "missing"
    assert told == [
        ("NetStream.Publish.Denied", f"the publish key (?key=...) of this stream is {fault}")
    ]
    assert not around.publish("live/other?key=app1").told


def test_where_streams_alone_have_keys_no_other_stream_is_published() -> None:
    around = rig_with("stream", Takeover.IDLE)
    closed = replace(around.template, needs_stream_key=True)
    around.streams.settings = replace(around.streams.settings, templates=(closed,))
    told = around.publish("live/other?key=cam").told
    assert told[0][1] == "live takes only streams that have a publish key, and this one has none"
    assert not around.publish("live/cam?key=cam").told


def test_wrong_keys_are_answered_later_each_time_and_right_ones_at_once() -> None:
    around = rig_with("app", Takeover.IDLE)
    waits = [around.publish(f"live/cam?key=guess{n}", 100.0).waits[0] for n in range(6)]
    assert waits == [0.0, 0.0, 0.0, 1.0, 3.0, 7.0]
    assert around.publish("live/cam", 100.0).waits == [0.0], "a key that is missing is no guess"
    assert around.publish("live/cam?key=guess", 100.0, peer(THERE)).waits == [0.0]
    right = around.publish("live/cam?key=app1", 100.0)
    assert not right.told
    assert around.count(PublishRequest) == 1

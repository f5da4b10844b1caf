"""Which streams' sound the audio child measures, and where its findings are kept."""

from dataclasses import replace

from common.config.settings import Settings
from common.ipc.control_messages import AudioStreams, EgressRoutes, StreamWanted, Subscription
from common.ipc.identity import ChildId, StreamId
from common.ipc.media_messages import SHARED
from common.ipc.status_messages import AudioLevels, Notice
from supervisor.farm.actions import Action
from supervisor.farm.forwarding.audio_levels import levels
from tests.kit.children import INGEST0
from tests.kit.farm_rig import MakeRig, Rig

AUDIO = ChildId("audio", index=0)
A, B = StreamId("live/a"), StreamId("quiet/b")
FOUND = AudioLevels(A, -6.0, -18.0, (Notice("clipping", "the sound clips", 5.0),))


def settings() -> Settings:
    """`live` has its sound measured, `quiet` has not."""
    (live,) = Settings().templates
    return replace(
        Settings(), templates=(replace(live, audio_levels=True), replace(live, name="quiet"))
    )


def told(actions: list[Action]) -> list[AudioStreams]:
    return [found for found in Rig.messages(actions) if isinstance(found, AudioStreams)]


def test_a_child_is_told_the_streams_that_are_live_once_and_when_they_change(make_rig: MakeRig):
    rig = make_rig(settings())
    assert told(rig.up(AUDIO)) == []
    rig.publish("live/a")
    rig.publish("quiet/b")
    for stream in ("live/a", "quiet/b"):
        rig.beat(INGEST0, publishers=(rig.publisher("live/a"), rig.publisher("quiet/b")))
        assert rig.stream(stream).is_live
    assert told(rig.beat(AUDIO)) == [AudioStreams((A,))]
    assert told(rig.beat(AUDIO)) == []
    assert told(rig.up(AUDIO)) == [AudioStreams((A,))], "it is another one, or asks again"
    rig.end("live/a")
    assert told(rig.beat(AUDIO)) == [AudioStreams(())]


def test_it_gets_what_every_rendition_shares_and_nothing_when_it_is_gone(make_rig: MakeRig):
    rig = make_rig(settings())
    rig.up(AUDIO)
    rig.publish("live/a")
    rig.beat(AUDIO)
    for other in (
        StreamWanted(AUDIO, A, ("720p",)),  # pictures
        StreamWanted(AUDIO, A),
        StreamWanted(AUDIO, StreamId("quiet/b"), (SHARED,)),  # what it was not told to measure
    ):
        assert not rig.messages(rig.say(AUDIO, other))
    routes = [
        found
        for found in rig.messages(rig.say(AUDIO, StreamWanted(AUDIO, A, (SHARED,))))
        if isinstance(found, EgressRoutes)
    ]
    assert routes[0].subscriptions == (Subscription(AUDIO, A, (SHARED,)),)
    rig.down(AUDIO)
    rig.publish("live/c")
    assert told(rig.up(AUDIO)) == [AudioStreams((A, StreamId("live/c")))]


def test_what_it_found_is_known_while_it_lives(make_rig: MakeRig):
    rig = make_rig(settings())
    rig.up(AUDIO)
    rig.publish("live/a")
    rig.beat(AUDIO, levels=(FOUND,))
    assert levels(rig.farm.state) == {A: FOUND}
    rig.down(AUDIO)
    assert levels(rig.farm.state) == {}

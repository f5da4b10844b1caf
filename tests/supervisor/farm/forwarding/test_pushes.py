"""supervisor/farm/forwarding/pushes.py: what the push child is told and says."""

from dataclasses import replace

from common.config.pushes import PushRule
from common.config.settings import Settings
from common.ipc.identity import ChildId, StreamId
from common.ipc.push_messages import PushReport, PushState, PushStatus, PushStreams, known_as
from supervisor.farm.actions import Action
from tests.kit.farm_rig import MakeRig, Rig

PUSH = ChildId("push", index=0)
A = StreamId("live/a")
STATUS = PushStatus(A, "720p", "srt://h:9", PushState.SENDING)


def settings() -> Settings:
    """Of `live` two streams are pushed, of `quiet` none."""
    (live,) = Settings().templates
    rule = PushRule("srt://h:9", "720p", ("a", "b"))
    templates = (replace(live, pushes=(rule,)), replace(live, name="quiet"))
    return replace(Settings(), templates=templates)


def told(actions: list[Action]) -> list[PushStreams]:
    return [found for found in Rig.messages(actions) if isinstance(found, PushStreams)]


def test_it_is_told_what_it_does_not_know(make_rig: MakeRig) -> None:
    rig = make_rig(settings())
    rig.up(PUSH)
    nothing = known_as(())
    assert told(rig.say(PUSH, PushReport((), nothing))) == []
    for stream in ("live/a", "live/c", "quiet/a"):
        rig.publish(stream)
    assert told(rig.say(PUSH, PushReport((), nothing))) == [PushStreams((A,))]
    assert told(rig.say(PUSH, PushReport((), known_as((A,))))) == []
    rig.end("live/a")
    assert told(rig.say(PUSH, PushReport((), known_as((A,))))) == [PushStreams(())]


def test_what_it_said_is_known_while_it_lives(make_rig: MakeRig) -> None:
    rig = make_rig(settings())
    rig.up(PUSH)
    rig.say(PUSH, PushReport((STATUS,), 0))
    assert rig.farm.pushes.of_streams() == {A: [STATUS]}
    rig.down(PUSH)
    assert rig.farm.pushes.of_streams() == {}

"""supervisor/farm/forwarding/recordings.py: what the record child is told and says."""

from dataclasses import replace

from common.config.hooks import HookEvent, Hooks
from common.config.recording import Recording
from common.config.settings import Settings
from common.ipc.hook_messages import HookNotice, HookSubject
from common.ipc.identity import ChildId, StreamId
from common.ipc.push_messages import known_as
from common.ipc.record_messages import RecordReport, RecordState, RecordStatus, RecordStreams
from supervisor.farm.actions import Send
from tests.kit.farm_rig import MakeRig

RECORD, EGRESS = ChildId("record", index=0), ChildId("egress", index=0)
HOOKS = ChildId("hooks", index=0)
A = StreamId("live/a")
STATUS = RecordStatus(A, "source", RecordState.RECORDING)
FINISHED = HookNotice(
    HookEvent.RECORDED, HookSubject("live", "a", "source", "", "s"), 1.0, 2.0, 3, "r", file="/r/f"
)


def settings(*, has_hook: bool = True) -> Settings:
    """Of `live` one stream is recorded, of `quiet` none."""
    (live,) = Settings().templates
    hooks = Hooks("http://h/", "s") if has_hook else Hooks()
    live = replace(live, recording=Recording("/r", keys=("a",)), hooks=hooks)
    return replace(Settings(), templates=(live, replace(live, name="quiet", recording=Recording())))


def test_it_is_told_what_it_does_not_know(make_rig: MakeRig) -> None:
    rig = make_rig(settings())
    rig.up(RECORD)
    for stream in ("live/a", "live/c", "quiet/a"):
        rig.publish(stream)
    told = rig.say(RECORD, RecordReport((STATUS,), known_as(())))
    assert told == [Send(RECORD, RecordStreams((A,)))]
    assert rig.say(RECORD, RecordReport((STATUS,), known_as((A,)))) == []
    assert rig.farm.recordings.of_streams() == {A: [STATUS]}


def test_the_hook_hears_of_a_finished_file_from_that_child_alone(make_rig: MakeRig) -> None:
    rig = make_rig(settings())
    for child in (RECORD, EGRESS, HOOKS):
        rig.up(child)
    assert rig.say(RECORD, FINISHED) == [Send(HOOKS, FINISHED)]
    assert rig.say(EGRESS, FINISHED) == []
    assert rig.say(RECORD, replace(FINISHED, event=HookEvent.ON_STOP)) == []


def test_where_the_app_has_no_hook_nothing_is_kept_for_one(make_rig: MakeRig) -> None:
    rig = make_rig(settings(has_hook=False))
    rig.up(RECORD)
    assert rig.say(RECORD, FINISHED) == []
    assert Send(HOOKS, FINISHED) not in rig.up(HOOKS)

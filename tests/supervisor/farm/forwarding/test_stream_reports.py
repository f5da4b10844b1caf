"""supervisor/farm/forwarding/stream_reports.py: what is common to pushes and recordings."""

from dataclasses import replace

from common.config.recording import Recording
from common.config.settings import Settings
from common.ipc.identity import ChildId, StreamId
from common.ipc.push_messages import known_as
from common.ipc.record_messages import RecordReport, RecordState, RecordStatus
from tests.kit.farm_rig import MakeRig

RECORD = ChildId("record", index=0)
STATUS = RecordStatus(StreamId("live/a"), "source", RecordState.RECORDING)


def test_what_a_child_said_is_known_while_it_lives(make_rig: MakeRig) -> None:
    (live,) = Settings().templates
    live = replace(live, recording=Recording("/r"))
    rig = make_rig(replace(Settings(), templates=(live,)))
    rig.up(RECORD)
    assert rig.say(RECORD, RecordReport((STATUS,), known_as(()))) == []
    assert rig.farm.recordings.of_streams() == {STATUS.stream_id: [STATUS]}
    rig.down(RECORD)
    assert rig.farm.recordings.of_streams() == {}

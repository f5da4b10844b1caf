"""What children report counts where it is theirs to report."""

from common.ipc.control_messages import Heartbeat
from common.ipc.identity import BootId, ChildId
from common.ipc.status_messages import RenditionStatus, ServedStatus
from supervisor.farm.reports import take_over
from tests.kit.children import CPU0, CPU1, EGRESS0, INGEST0
from tests.kit.farm_rig import Rig


def test_a_child_reports_what_its_kind_knows_and_no_more(rig: Rig) -> None:
    rig.publish("live/a")
    stream = rig.stream("live/a")
    here = rig.farm.state.device_of(stream)
    elsewhere = CPU1 if here == CPU0 else CPU0
    beat = Heartbeat(
        CPU0,
        BootId("0" * 16),
        publishers=(rig.publisher("live/a", address="203.0.113.9:1"),),
        transcodes=(rig.transcode("live/a", frames_in=7),),
        served=(
            ServedStatus(
                stream.stream_id, stream.generation, (RenditionStatus("720p", players=3),)
            ),
        ),
    )

    def known_by(child: ChildId) -> tuple[bool, bool, bool]:
        before = (stream.publisher, stream.last_transcode, dict(stream.served))
        take_over(rig.farm.state, child, beat, rig.now)
        after = (stream.publisher, stream.last_transcode, dict(stream.served))
        publisher, transcode, served = (a != b for a, b in zip(before, after, strict=True))
        return publisher, transcode, served

    assert known_by(elsewhere) == (False, False, False)
    assert known_by(here or CPU0) == (False, True, False)
    assert known_by(INGEST0) == (True, False, False)
    assert known_by(EGRESS0) == (False, False, True)
    assert rig.farm.state.children[EGRESS0].heartbeat is beat

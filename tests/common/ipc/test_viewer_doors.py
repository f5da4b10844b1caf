"""common/ipc/viewer_doors.py: whom a viewer's connection is handed over to."""

from common.ipc.control_messages import Endpoint
from common.ipc.egress_homes import home
from common.ipc.identity import BootId, ChildId
from common.ipc.viewer_doors import ViewerDoors

EGRESSES = [ChildId("egress", index=index) for index in range(4)]


def test_the_home_is_tried_first_and_who_retires_never() -> None:
    doors = ViewerDoors("ts", tries=3)
    assert doors.addresses("live/a") == []
    ends = [Endpoint(egress, BootId(f"b{egress.index}"), ts=str(egress)) for egress in EGRESSES]
    doors.follow([*ends, Endpoint(ChildId("worker"), BootId("w"))])
    first = home("live/a", EGRESSES)
    found = doors.addresses("live/a")
    assert found[0] == str(first)
    assert len(set(found)) == 3
    doors.follow(
        [
            Endpoint(end.child, end.boot_id, ts=end.ts, is_retiring=end.child == first)
            for end in ends
        ]
    )
    assert str(first) not in doors.addresses("live/a")

"""cluster/own_key.py: one farm has a host's name, and what it writes."""

from common.cluster.digest import stream_digest
from common.ipc.cluster_messages import HostRoom
from common.ipc.identity import StreamId
from tests.kit.cluster_rig import SECRET, Host, Rig, views

CAM = "live/cam1"
DIGEST = stream_digest(SECRET, StreamId(CAM))


def test_a_second_farm_of_the_same_name_stays_out_until_the_first_is_gone() -> None:
    rig = Rig("a", "b")
    rig.run(2)
    second = Host(rig, "a", farm="f2")
    rig.hosts.append(second)
    second.take(CAM)
    rig.run(3)
    assert "another farm of this cluster has the name a" in views(second)[-1].reason
    assert rig.registered() == {}
    rig.hosts[0].is_dead = True
    rig.run(8)
    assert rig.registered() == {DIGEST: "a"}


def test_what_is_free_is_written_when_it_has_changed_enough_and_once_a_second_at_most() -> None:
    rig = Rig("a", "b")
    a, b = rig.hosts
    rig.run(3)

    def written() -> int:
        return sum(change.key.endswith("/a") for change in rig.store.changes)

    a.core.room(HostRoom({"software": 100.0}, {"software": 100.0}))
    rig.run(2)
    before = written()
    for free in range(100, 0, -1):
        a.core.room(HostRoom({"software": float(free)}, {"software": 100.0}))
        rig.run(0.1)
    assert 5 <= written() - before <= 11
    rig.run(2)
    before = written()
    a.core.room(HostRoom({"software": 1.9}, {"software": 100.0}))
    rig.run(2)
    assert written() == before
    a.core.room(HostRoom({"software": 1.9}, {"software": 100.0}, is_draining=True))
    rig.run(2)
    assert written() == before + 1
    assert views(b)[-1].hosts[0].is_draining

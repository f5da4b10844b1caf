"""cluster/all_keys.py: more keys than one answer holds."""

from tests.kit.cluster_rig import Host, Rig, views


def test_more_keys_than_a_page_has_are_read() -> None:
    rig = Rig("a")
    (a,) = rig.hosts
    for number in range(1_200):
        a.take(f"live/{number}")
    rig.run(4)
    late = Host(rig, "b")
    rig.hosts.append(late)
    rig.run(2)
    assert len(late.core.view.owners) == 1_200
    assert views(late)[-1].hosts[0].streams == 1_200

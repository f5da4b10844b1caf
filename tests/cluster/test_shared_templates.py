"""cluster/shared_templates.py: by hosts against a model of etcd."""

from cluster.shared_templates import OTHERS
from common.config.shared_templates import MAX_BYTES
from common.etcd import messages
from common.ipc.cluster_messages import ClusterTemplates, HostRoom, TemplatesPushed
from tests.kit.cluster_rig import KEYS, Host, Rig, views

TEXT = "[templates.live]\n"


def new_rig() -> tuple[Rig, Host, Host]:
    rig = Rig("a", "b")
    rig.run(2)
    a, b = rig.hosts
    return rig, a, b


def push(host: Host, text: str = TEXT) -> str:
    """Have an operator push there; what is wrong."""
    host.do(host.core.push(text, host.rig.now))
    (found,) = [one for one in host.said if isinstance(one, TemplatesPushed)][-1:]
    return found.problem


def heard(host: Host) -> list[str]:
    return [one.text for one in host.said if isinstance(one, ClusterTemplates)]


def test_what_is_pushed_at_one_host_comes_to_all() -> None:
    rig, a, b = new_rig()
    assert heard(a) == heard(b) == []
    assert push(a) == ""
    rig.run(2)
    assert heard(a) == heard(b) == [TEXT]
    assert push(b, "# others\n") == ""
    rig.run(2)
    assert heard(a) == [TEXT, "# others\n"]
    assert views(a)[-1].templates_revision == rig.store.keys[KEYS.config].mod


def test_nothing_that_a_host_has_not_seen_is_undone() -> None:
    rig, a, b = new_rig()
    b.is_stopped = True
    assert push(a) == ""
    rig.run(0.5)
    b.is_stopped = False
    assert push(b, "# others\n") == OTHERS
    rig.run(1)
    assert push(b, "# others\n") == ""


def test_a_host_that_begins_later_hears_them() -> None:
    rig, a, _ = new_rig()
    push(a)
    late = Host(rig, "c")
    rig.hosts.append(late)
    rig.run(2)
    assert heard(late) == [TEXT]
    late.core.again()
    rig.run(1)
    assert heard(late) == [TEXT, TEXT], "another supervisor"


def test_with_etcd_away_nothing_is_pushed() -> None:
    rig, a, _ = new_rig()
    rig.is_etcd_away = True
    assert push(a) == "cut; look whether they are there"
    rig.run(4)
    assert push(a) == "this host is not in touch with etcd"


def test_a_key_that_is_gone_changes_nothing_and_may_be_pushed_again() -> None:
    rig, a, b = new_rig()
    push(a)
    rig.run(1)
    rig.store.wipe()
    rig.run(10)
    assert heard(a) == heard(b) == [TEXT]
    assert views(a)[-1].templates_revision == 0
    assert push(b) == ""
    rig.run(1)
    assert heard(a)[-1] == TEXT
    assert views(a)[-1].templates_revision > 0


def test_what_no_host_wrote_is_left_alone() -> None:
    rig, a, _ = new_rig()
    put = messages.put(KEYS.config, b"x" * (MAX_BYTES + 1), 0)
    request = messages.transaction([], [put])
    rig.store.handle(request.path, request.document, rig.now)
    rig.run(1)
    assert heard(a) == []


def test_which_of_them_each_host_has_is_known_to_all() -> None:
    rig, a, b = new_rig()
    a.core.room(HostRoom(templates_revision=7, templates_problem="templates.live.gop: no"))
    rig.run(3)
    found = {host.name: host for host in views(b)[-1].hosts}["a"]
    assert (found.templates_revision, found.templates_problem) == (7, "templates.live.gop: no")

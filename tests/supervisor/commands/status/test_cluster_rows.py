"""supervisor/commands/status/cluster_rows.py."""

from dataclasses import replace

from common.config.settings import ClusterSettings, Settings
from common.ipc.cluster_messages import ClusterView, HostView
from common.ipc.identity import ChildId
from supervisor.commands.status.cluster_rows import cluster_document, cluster_line, cluster_page
from tests.kit.children import INGEST0
from tests.kit.farm_rig import Rig

CLUSTER = ClusterSettings("studio", "h1", "/s", ("http://e:1",))
HOSTS = (
    HostView("h1", "0.1", "", "h1:1935", {"software": 150.0}, {"software": 200.0}, 2),
    HostView("h2", "0.1", "h2:1936", "h2:1935", is_draining=True),
    HostView(
        "h3",
        "0.1",
        "",
        "h3:1935",
        is_missing=True,
        templates_revision=6,
        templates_problem="revision 7: templates.live.gop: must be a time",
    ),
)


def test_a_farm_that_is_alone_has_none() -> None:
    assert cluster_document(Rig().farm) is None


def test_what_is_well_is_one_line_and_a_table() -> None:
    rig = Rig(Settings(cluster=CLUSTER))
    rig.up(ChildId("cluster"))
    rig.say(ChildId("cluster"), ClusterView(True, 1_000.0, "", HOSTS, 2, 0, 0, {"http://e:1": ""}))
    found = cluster_document(rig.farm)
    assert found is not None
    assert cluster_line(found, 1_060.0) == (
        "cluster studio, host h1: in touch for 1 min, 3 hosts; 2 streams registered",
        False,
    )
    assert cluster_page(found, 1_060.0)[2:] == [
        "HOST  STREAMS  FREE                 RTMP     RELAY    VERSION  TEMPLATES  STATE",
        "h1    2        software 150 of 200  h1:1935  -        0.1      -          ready",
        "h2    0        -                    h2:1935  h2:1936  0.1      -          draining",
        "h3    0        -                    h3:1935  -        0.1      6          missing",
        "",
        "h3 refuses templates: revision 7: templates.live.gop: must be a time",
    ]


def test_what_is_wrong_is_said() -> None:
    rig = Rig(Settings(cluster=CLUSTER))
    found = cluster_document(rig.farm)
    assert found is not None
    words, is_wrong = cluster_line(found, 0.0)
    assert is_wrong
    assert "not in touch: the cluster process is not running; 0 streams" in words
    rig.up(ChildId("cluster"))
    rig.say(
        ChildId("cluster"),
        ClusterView(False, 1.0, "etcd is away", (), 0, 3, 1, {"http://e:1": "x"}),
    )
    found = cluster_document(rig.farm)
    assert found is not None
    words, is_wrong = cluster_line(found, 2.0)
    assert is_wrong
    assert words.endswith("3 not yet, 1 owned by another host, too")
    assert cluster_page(found, 2.0)[-1] == "etcd http://e:1: x"


def test_publishers_whose_streams_other_hosts_have_are_rows() -> None:
    rig = Rig(Settings(cluster=CLUSTER))
    rig.up(ChildId("cluster"))
    rig.say(ChildId("cluster"), ClusterView(True, 1_000.0, "", HOSTS, 2, 0, 0, {}))
    status = rig.publisher(stream="live/secret")
    forwarded = replace(status, forwarded_to="h2", fps=25.0, bitrate_bps=2e6, dropped={"x": 3})
    rig.beat(INGEST0, publishers=(forwarded, status))
    found = cluster_document(rig.farm)
    assert found is not None
    (row,) = found["forwarded"]
    assert (row["host"], row["publisher"], row["dropped"]) == ("h2", status.address, 3)
    assert "secret" not in str(found)
    words, is_wrong = cluster_line(found, 1_060.0)
    assert words.endswith("2 streams registered, 1 publisher forwarded")
    assert not is_wrong
    header, line = cluster_page(found, 1_060.0)[-2:]
    assert header.split() == ["FORWARDED", "TO", "HOST", "PUBLISHER", "FPS", "MBIT/S", "DROPPED"]
    assert line.split() == [row["stream"], "h2", status.address, "25", "2.0", "3"]

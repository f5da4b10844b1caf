"""supervisor/commands/status/cluster_rows.py."""

from dataclasses import replace

from common.config.settings import ClusterSettings, Settings
from common.ipc.cluster_messages import ClusterView, HostView, StreamOwner
from common.ipc.control_messages import StreamWanted
from common.ipc.identity import ChildId, Generation, StreamId
from common.ipc.status_messages import RenditionStatus, ServedStatus
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


def test_streams_of_other_hosts_that_are_played_here_are_rows() -> None:
    cluster = replace(CLUSTER, cert="a", key="b", ca="c")
    rig = Rig(Settings(cluster=cluster))
    egress, web, stream = ChildId("egress"), ChildId("web"), StreamId("live/cam")
    for child in (ChildId("cluster"), ChildId("relay"), egress, web):
        rig.up(child)
    rig.say(ChildId("cluster"), ClusterView(True, 1_000.0, "", HOSTS, 0, 0, 0, {}))
    rig.say(egress, StreamWanted(egress, stream, ("720p",)))
    assert cluster_document(rig.farm)["played"] == []  # type: ignore[index]  # it is enabled
    rig.say(ChildId("cluster"), StreamOwner("ab" * 32, stream, "h2", "h2:1936", 7))
    for child, players in ((egress, 2), (web, 1), (ChildId("relay"), 9)):
        rendition = RenditionStatus("720p", players=players, fps=25.0, bitrate_bps=2e6)
        unwatched = RenditionStatus("360p")
        served = ServedStatus(stream, Generation(1), (rendition, unwatched), 1)
        rig.beat(child, served=(served,))
    found = cluster_document(rig.farm)
    assert found is not None
    (row,) = found["played"]
    assert (row["host"], row["players"], row["waiting_players"]) == ("h2", 3, 2)
    assert row["renditions"] == [
        {"name": "720p", "players": 3, "fps": 25.0, "bitrate_bps": 2_000_000}
    ]
    page = cluster_page(found, 1_060.0)
    assert page[-1].split()[1:] == ["h2", "3", "720p:3", "2.0"]
    assert "1 stream of other hosts played" in page[0]
    assert "live/cam" not in str(found)

"""The status document, and the tables made from it."""

import json
from dataclasses import replace
from typing import Any

from common.access.refusal import RefusalReason
from common.access.refusals import Attempted, RefusalStatus
from common.config.ladder import SourceFormat
from common.ipc.control_messages import StreamTrouble
from common.ipc.identity import ChildId, StreamId
from common.ipc.status_messages import (
    OFF,
    WHOLE,
    AudioLevels,
    Notice,
    Quality,
    RenditionStatus,
    ServedStatus,
)
from supervisor.commands.status.document import ChildFacts, FarmFacts, snapshot, summary
from supervisor.commands.status.latency_table import latency_lines
from supervisor.commands.status.table import Shown, page
from supervisor.commands.terminal.layout import plain
from supervisor.farm.recovery.lost_workers import POSITIONS_TIMEOUT_S
from supervisor.farm.stream_states import StreamState
from tests.kit.children import CPU0, CPU1, EGRESS0, EGRESS1, INGEST0
from tests.kit.farm_rig import MakeRig, Rig


def facts(rig: Rig) -> FarmFacts:
    child = ChildFacts(INGEST0, "ready", 41, 2, "killed", rig.now - 5, 2**20, 3.21)
    supervisor = ChildFacts(ChildId("supervisor"), "ready", 40, 0, "", rig.now - 9, 2**21, 0.0)
    return FarmFacts(
        "0.1.0",
        "/run/tfarm",
        "",
        1_000.0,
        supervisor,
        [child],
        now_s=rig.now,
        now_unix=2_000.0,
        listen={"rtmp": ["127.0.0.1:1935"], "http": []},
    )


def document(rig: Rig) -> dict[str, Any]:
    found = snapshot(facts(rig), rig.farm)
    assert json.loads(json.dumps(found)) == found
    return found


def text(found: dict[str, Any]) -> str:
    return "\n".join(map(plain, page(found, 2_000.0, 200, Shown(renditions=True)).lines))


QUALITY = Quality(0.972, 40.5, 1_900.0)


def streaming(rig: Rig) -> dict[str, Any]:
    """One stream with everything that heartbeats say."""
    placed = rig.publish(source=SourceFormat(854, 480))
    publisher = rig.publisher(
        fps=29.97, bitrate_bps=1e6, codec="avc1.4d401e", gop_ms=2000, since_unix=1_880.0
    )
    rig.beat(INGEST0, publishers=(publisher,))
    rendition = RenditionStatus(
        "480p", 854, 480, frames=70, fps=30.0, bitrate_bps=9e5, dropped=1, quality=QUALITY
    )
    renditions = (rendition, RenditionStatus("360p", 640, 360))
    rig.beat(placed.worker, transcodes=(rig.transcode(frames_in=10, renditions=renditions),))
    rig.now += 2.0
    rig.beat(
        placed.worker,
        transcodes=(
            rig.transcode(frames_in=70, frames_out=68, queue_ms=12.34, renditions=renditions),
        ),
        counters={"x": 1},
    )
    served = RenditionStatus("480p", players=4, dropped=2)
    source = RenditionStatus("source", players=1)
    status = ServedStatus(rig.stream().stream_id, placed.generation, (served, source))
    rig.beat(EGRESS0, served=(status,))
    return document(rig)


def test_an_idle_farm(rig: Rig) -> None:
    found = document(rig)
    assert found["listen"] == {"rtmp": ["127.0.0.1:1935"], "http": []}
    assert found["warnings"] == []
    assert found["apps"] == {"live": ["720p", "480p", "360p", "source"]}
    assert found["streams"] == []
    assert found["children"][0]["cpu_percent"] == 3.2
    assert found["host"]["cores"] == {"capacity": 200.0, "used": 0}
    assert [device["name"] for device in found["devices"]] == ["cpu:0", "cpu:1"]
    assert "none" in text(found)


def test_a_stream_with_its_renditions_players_and_rates(rig: Rig) -> None:
    found = streaming(rig)
    (stream,) = found["streams"]
    assert (stream["app"], stream["key"], stream["state"]) == ("live", "a", "live")
    assert (stream["width"], stream["height"], stream["fps"]) == (854, 480, 29.97)
    assert (stream["queue_ms"], stream["frames_decoded"]) == (12.3, 68)
    assert [entry["name"] for entry in stream["omitted"]] == ["720p"]
    rows = {row["name"]: row for row in stream["renditions"]}
    assert list(rows) == ["source", "480p", "360p"]
    assert (rows["480p"]["players"], rows["480p"]["dropped_to_players"]) == (4, 2)
    assert (rows["480p"]["frames"], rows["480p"]["dropped"]) == (70, 1)
    assert (rows["source"]["players"], rows["source"]["bitrate_bps"]) == (1, 1_000_000)
    (device,) = [d for d in found["devices"] if d["streams"]]
    assert (device["fps_in"], device["fps_out"], device["queue_ms"]) == (30.0, 30.0, 12.3)
    assert 0 < device["used"] < device["capacity"] == 200.0


def rates(rig: Rig) -> list[object]:
    """All that is told of what a worker makes of the one stream."""
    found = document(rig)
    (stream,) = found["streams"]
    told: list[object] = [stream[name] for name in ("queue_ms", "frames_in", "frames_decoded")]
    renditions = [row for row in stream["renditions"] if row["name"] != "source"]
    told += [row[name] for row in renditions for name in ("fps", "frames")]
    told += [d[name] for d in found["devices"] for name in ("fps_in", "fps_out", "queue_ms")]
    return told


def test_of_a_source_that_shrank_what_its_worker_makes_all_the_same_is_not_left_out(
    rig: Rig,
) -> None:
    streaming(rig)
    rig.format(source=SourceFormat(640, 360))
    (stream,) = document(rig)["streams"]
    assert [entry["name"] for entry in stream["omitted"]] == ["720p"]
    assert [row["name"] for row in stream["renditions"]] == ["source", "480p", "360p"]


def test_nothing_is_shown_of_what_a_lost_worker_made(make_rig: MakeRig) -> None:
    rig = make_rig(workers=1)
    streaming(rig)
    assert any(rates(rig))
    rig.down(CPU0)
    assert not any(rates(rig))  # while egress is asked
    rig.tick(POSITIONS_TIMEOUT_S)
    assert rig.stream().state is StreamState.WAITING
    assert not any(rates(rig))
    rig.up(CPU0)
    assert rig.stream().state is StreamState.LIVE
    assert not any(rates(rig))  # before the new session has said anything


def test_nothing_is_shown_of_what_was_made_of_a_stream_that_is_given_up(make_rig: MakeRig) -> None:
    rig = make_rig(workers=1)
    streaming(rig)
    stream = rig.stream()
    worker = CPU0
    rig.say(worker, StreamTrouble(worker, stream.stream_id, stream.generation, "cannot"))
    assert stream.state is StreamState.SOURCE_ONLY
    assert not any(rates(rig))


def test_nothing_is_shown_of_what_was_made_of_a_stream_whose_ingest_is_lost(rig: Rig) -> None:
    streaming(rig)
    assert any(rates(rig))
    rig.down(INGEST0)
    assert rig.stream().state is StreamState.LIVE, "held"
    assert not any(rates(rig))


def test_a_stream_whose_publisher_is_away_is_held_and_says_for_how_long(rig: Rig) -> None:
    streaming(rig)
    rig.now += 600.0
    rig.beat(INGEST0, publishers=(rig.publisher(is_live=False, address="", since_unix=1_880.0),))
    rig.now += 2.0
    (stream,) = document(rig)["streams"]
    assert (stream["state"], stream["placement"], stream["away_s"]) == ("held", "live", 2.0)
    assert "publisher away for 2 s" in text(document(rig))
    rig.beat(INGEST0, publishers=(rig.publisher(),))
    (stream,) = document(rig)["streams"]
    assert (stream["state"], stream["away_s"]) == ("live", None)


def test_totals_are_of_all_streams(rig: Rig) -> None:
    streaming(rig)
    served = ServedStatus(
        rig.stream().stream_id,
        rig.stream().generation,
        (
            RenditionStatus("480p", players=4, bitrate_bps=9e5),
            RenditionStatus("source", players=1, bitrate_bps=1e6),
        ),
    )
    rig.beat(EGRESS0, served=(served,))
    found = document(rig)
    assert found["totals"] == {"players": 5, "in_bps": 1_000_000, "out_bps": 4_600_000}
    assert "1 stream; 5 players; 1.0 Mbit/s in, 4.6 Mbit/s out; devices: 2 ready" in text(found)


def test_the_tables_show_it_all(rig: Rig) -> None:
    shown = text(streaming(rig))
    for words in (
        "rtmp://127.0.0.1:1935",
        "live/a",
        "480p",
        "would enlarge",
        "avc1.4d401e",
        "GOP 2.0 s",
        "for 2 min",
        "127.0.0.1:5000",
        "cpu:1",
        "ingest:0",
        "killed",
        "placed on cpu:0 because, at that time: software: 0% used",
    ):
        assert words in shown, words


def test_where_the_milliseconds_go_is_told_by_stream_and_rendition(rig: Rig) -> None:
    placed = rig.publish(source=SourceFormat(854, 480))
    rig.beat(INGEST0, publishers=(rig.publisher(stages_ms={"ingest": (0.1, 0.2)}),))
    rig.beat(
        placed.worker,
        transcodes=(rig.transcode(stages_ms={"queue": (1.0, 2.0), "encode:480p": (5.0, 9.0)}),),
    )
    rig.up(EGRESS1)
    for egress, times in ((EGRESS0, (6.0, 20.0)), (EGRESS1, (7.0, 12.0))):
        served = ServedStatus(
            rig.stream().stream_id, placed.generation, (), stages_ms={"total:480p": times}
        )
        rig.beat(egress, served=(served,))
    found = document(rig)
    assert found["streams"][0]["stages_ms"] == {
        "ingest": [0.1, 0.2],
        "queue": [1.0, 2.0],
        "encode:480p": [5.0, 9.0],
        "total:480p": [7.0, 20.0],
    }
    shown = list(map(plain, latency_lines(found, 80)))
    assert shown[0] == "live/a: p50 / p99 in ms"
    rows = {line.split()[0]: line.split()[1:] for line in shown[1:]}
    assert rows["stage"] == ["the", "stream", "source", "480p", "360p"]
    assert rows["queue"] == ["1.0", "/", "2.0"]
    assert rows["encode"] == ["-", "5.0", "/", "9.0", "-"]
    assert rows["total"] == ["-", "7.0", "/", "20.0", "-"]


def test_refusals_of_all_children_are_counted_together(rig: Rig) -> None:
    refused = RefusalStatus(
        Attempted.PUBLISH,
        RefusalReason.DENIED,
        "wrong key",
        "192.0.2.1:5",
        1_900.0,
        "live/3fa2c1d0",
    )
    for _ in range(2):
        rig.beat(INGEST0, refusals=(refused, replace(refused, stream="live/b", count=5)))
    player = replace(refused, what=Attempted.PLAY, reason=RefusalReason.NOT_FOUND, cause="no-app")
    rig.beat(EGRESS0, refusals=(player,))
    found = document(rig)
    assert found["refused"] == {"denied": 12, "not-found": 1}
    assert found["refused_causes"] == [
        {"what": "play", "reason": "not-found", "cause": "no-app", "count": 1},
        {"what": "publish", "reason": "denied", "cause": "", "count": 12},
    ]
    assert [(e["what"], e["stream"], e["count"]) for e in found["refusals"]] == [
        ("publish", "live/3fa2c1d0", 2),
        ("publish", "live/b", 10),
        ("play", "live/3fa2c1d0", 1),
    ]


def test_decisions_come_with_wall_clock_times(rig: Rig) -> None:
    rig.ask()
    rig.now += 10.0
    note = document(rig)["decisions"][-1]
    assert (note["app"], note["key"], note["at_unix"]) == ("live", "a", 1_990.0)
    assert note["text"].startswith("placed on worker:cpu:")


def test_waiting_streams_and_parked_publishers_are_counted(make_rig: MakeRig) -> None:
    rig = make_rig(cores=1, workers=1)
    rig.publish()
    rig.down(CPU0)
    rig.tick(1.0)
    rig.ask("live/b")
    found = document(rig)
    assert (found["waiting"], found["queued"]) == (1, 1)
    assert found["devices"][0]["state"] == "down"
    assert "1 stream waits for a device, 1 publisher for room" in text(found)


def test_a_farm_that_runs_empty_says_so(rig: Rig) -> None:
    assert document(rig)["closed"] == ""
    rig.operator.drain_all(None, rig.now)
    assert "takes no new streams" in text(document(rig))
    rig.operator.undrain_all(rig.now)
    assert "takes no new streams" not in text(document(rig))


def test_systemd_gets_one_line(rig: Rig) -> None:
    rig.publish()
    assert summary(rig.farm) == "streams: 1, workers up: 2 of 2"
    rig.down(CPU1)
    rig.operator.drain_all(None, rig.now)
    assert summary(rig.farm) == (
        "streams: 1, workers up: 1 of 2; the farm is being drained: it takes no new streams"
    )


def test_notices_of_all_who_look_at_a_source_stand_in_the_order_in_which_they_began(
    rig: Rig,
) -> None:
    streaming(rig)
    gop = Notice("long-gop", "keyframes are 8 s apart", 30.0)
    black, silence = Notice("black", "the picture is black", 10.0), Notice("silence", "mute", 20.0)
    rig.beat(INGEST0, publishers=(rig.publisher(notices=(gop,)),))
    rig.beat(rig.farm.state.device_of(rig.stream()), transcodes=(rig.transcode(notices=(black,)),))
    rig.up(audio := ChildId("audio", index=0))
    (stream,) = document(rig)["streams"]
    assert [notice["code"] for notice in stream["notices"]] == ["black", "long-gop"]
    assert stream["levels"] is None
    rig.beat(audio, levels=(AudioLevels(StreamId("live/a"), -91.0, -99.0, (silence,)),))
    (stream,) = document(rig)["streams"]
    assert [notice["code"] for notice in stream["notices"]] == ["black", "silence", "long-gop"]
    assert stream["notices"][1] == {
        "code": "silence",
        "words": "mute",
        "since_unix": 20.0,
        "is_fault": True,
    }
    assert stream["levels"] == {"peak_dbfs": -91.0, "rms_dbfs": -99.0}


def test_a_child_whose_sandbox_is_not_whole_is_named_and_what_the_operator_switched_off_is_not(
    rig: Rig,
) -> None:
    rig.up(INGEST0)
    rig.up(CPU0, sandbox="its system calls are not filtered (Operation not permitted)")
    rig.up(CPU1, sandbox=OFF)
    (warning,) = document(rig)["warnings"]
    assert warning.startswith("worker:cpu:0 runs without its whole sandbox: its system calls")
    assert "tfarm doctor" in warning
    assert "WARNING: worker:cpu:0 runs without" in text(document(rig))
    rig.up(CPU0, sandbox=WHOLE)
    found = document(rig)
    assert found["warnings"] == []
    assert found["children"][0]["sandbox"] == "", "an ingest has none"

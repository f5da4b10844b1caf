"""The page of `tfarm status` at every width."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.ipc.identity import StreamId
from common.process.log import stream_label
from supervisor.commands.status.latency_table import latency_lines
from supervisor.commands.status.stream_selection import Selection
from supervisor.commands.status.table import Shown, page
from supervisor.commands.terminal.layout import line_cells, plain
from tests.kit.children import INGEST0
from tests.kit.farm_rig import Rig
from tests.kit.status_pages import farm_document, refusal_row, stream_row
from tests.supervisor.commands.status.test_document import document, streaming

ALL = Shown(renditions=True)


def lines(found: dict[str, Any], width: int = 100, shown: Shown = ALL) -> list[str]:
    """What the terminal shows."""
    made = page(found, 2_000.0, width, shown).lines
    assert max(map(line_cells, made)) <= width
    return list(map(plain, made))


def words(found: dict[str, Any], width: int = 100, shown: Shown = ALL) -> str:
    """The same, folded lines joined."""
    return " ".join(" ".join(lines(found, width, shown)).split())


def test_a_farm_that_is_just_starting() -> None:
    found = farm_document()
    found["listen"]["rtmp"] = []
    found["children"][0] |= {"state": "backoff", "pid": 0, "reason": "port"}
    found["encoder_session_limit"] = {"sessions": 7, "for_s": 599.5, "reason": "the driver's"}
    told = words(found)
    assert "not listening yet" in told
    assert "backoff - 0" in told
    assert "note: encoder sessions held to 7 for 10 min more: the driver's" in told
    assert "Last refusals" not in told


def test_what_an_operator_had_better_change_stands_at_the_top() -> None:
    found = farm_document()
    found["warnings"] = ["anybody may publish"]
    assert words(found).partition("WARNING: anybody may publish")[0].count("tfarm") == 1


def test_the_top_has_the_totals(rig: Rig) -> None:
    found = streaming(rig)
    assert "1 stream; 5 players; 1.0 Mbit/s in" in words(found)
    assert "cores 23 of 200 units Devices" in words(found)
    found["host"]["encoder_sessions"] = {"capacity": 8, "used": 3}
    found["host"]["hybrid_cores"] = {"capacity": None, "used": 40.0}
    found["refused"] = {"full": 2, "denied": 12}
    assert (
        "cores 23 of 200 units; encoder sessions 3 of 8; hybrid cores 40 units; "
        "refused so far: 12 denied, 2 full" in words(found)
    )


def test_what_is_wrong_with_a_stream_stands_below_it_and_is_counted_in_its_line(rig: Rig) -> None:
    found = streaming(rig)
    assert "degraded" not in words(found)
    found["streams"][0] |= {
        "degraded": "no top rendition",
        "dropped_by_renditions": 12,
        "crashes": 1,
        "cannot_move": "software: cpu:1 is down",
        "notices": [
            {"code": "no-sound", "words": "no sound", "since_unix": 1.0, "is_fault": False},
            {"code": "long-gop", "words": "keyframes: 8 s", "since_unix": 2.0, "is_fault": True},
        ],
    }
    told = words(found, 300)
    for text in (
        "degraded: no top rendition",
        "12 pictures were dropped by its renditions",
        "1 worker has crashed that it ran on",
        "cannot move: software: cpu:1 is down",
        "source: keyframes: 8 s",
        "source: no sound",
    ):
        assert text in told
    (line,) = [line for line in lines(found, 80) if line.startswith("live/a ")]
    assert "!5" in line.split()
    (line,) = [line for line in lines(found, 160) if line.startswith("live/a ")]
    assert "degraded: no top rendition" in line, "the first of them, where there is room"


def test_workers_of_the_same_cores_share_them() -> None:
    found = farm_document()
    (first, second) = [line for line in lines(found, 160) if line.startswith("cpu:")]
    assert first.split()[:4] == ["cpu:0", "ready", "0", "200"]
    assert "shares 2 cores, libx264 (software)" in first
    assert "shares 2 cores" in second
    del found["devices"][1]
    (only,) = [line for line in lines(found, 160) if line.startswith("cpu:")]
    assert "shared" not in only
    assert "shares" not in only


def test_who_is_kept_out_by_the_operator_stands_at_the_top() -> None:
    found = farm_document()
    found["kicked"] = [{"app": "live", "key": "cam1", "for_s": 570.0}]
    assert "kept out by the operator: live/cam1 for 10 min more" in words(found)


def test_refusals_have_their_stream_reason_count_and_address() -> None:
    found = farm_document()
    found["refusals"] = [refusal_row(i) for i in range(9)]
    found["refusals"] += [
        refusal_row(90 + i, what="play", reason="not-found", words="nobody publishes this stream")
        for i in range(9)
    ]
    found["refusals"][8]["name"] = "live/cam1"
    made = lines(found, 120, Shown())
    start = made.index("Last refusals of publishers")
    rows = [line.split() for line in made[start + 2 : start + 7]]
    assert [row[1] for row in rows] == [*(f"live/3fa2c1d{i}" for i in range(4, 8)), "live/cam1"]
    assert rows[-1][2:5] == ["9", "wrong-key", "203.0.113.8:50122"]
    assert "the publish key (?key=...) of live is wrong" in " ".join(rows[-1])
    assert made[start + 7 : start + 9] == ["", "Last refusals of players"], "five of each"
    assert "203.0.113.0:50122" in words(found, 120), "all of them with -v"
    narrow = lines(found, 80, Shown())
    assert any("203.0.113.8:50122" in line for line in narrow)
    assert not any("denied" in line for line in narrow), "the words say it too"


def test_losses_are_shown_without_keys_and_refusals_not_twice(rig: Rig) -> None:
    rig.publish("live/secret")
    rig.farm.state.note(StreamId("live/other"), "refused: no room", rig.now)
    rig.down(rig.farm.state.device_of(rig.stream("live/secret")))
    told = words(document(rig), 300).partition("Last losses")[2]
    assert f"{stream_label('live/secret')} lost worker:cpu:" in told
    assert "secret" not in told
    assert "refused" not in told


def test_a_quarantine_and_a_lost_ingest_are_among_them(rig: Rig) -> None:
    rig.publish("live/bad")
    for _ in range(2):
        rig.down(rig.farm.state.device_of(rig.stream("live/bad")))
        rig.tick(1.0)
    rig.down(INGEST0)
    told = words(document(rig), 300)
    for text in ("quarantined: alone on worker:cpu:q1", "its ingest is lost: killed"):
        assert f"{stream_label('live/bad')} {text}" in told


# ---- width ------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 120, 160])
def test_a_stream_is_one_line_and_no_number_or_address_is_cut(width: int) -> None:
    found = farm_document([stream_row(key=f"cam{i}", index=i) for i in range(60)])
    made = lines(found, width, Shown())
    rows = [line for line in made if line.startswith("live/cam")]
    assert [line.split()[0] for line in rows] == [f"live/cam{i}" for i in range(60)]
    for i, row in enumerate(rows):
        for number in ("1280x720", "29.9", "2510", str(1000 + i), str(70_000 + i)):
            assert number in row.split(), row
    if width == 160:
        assert "203.0.113.7:50122" in rows[0].split()
    assert any(line.startswith("ingest:0") for line in made)


def test_renditions_are_shown_where_there_is_room_and_where_they_are_asked_for() -> None:
    def has_renditions(streams: int, shown: Shown) -> bool:
        found = farm_document([stream_row(index=i) for i in range(streams)])
        return any(line.startswith("  720p") for line in lines(found, 80, shown))

    assert has_renditions(1, Shown(height=50))
    assert not has_renditions(12, Shown(height=50))
    assert has_renditions(12, Shown(height=50, renditions=True))
    assert has_renditions(3, Shown())
    assert not has_renditions(4, Shown())


NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789._~+@=,!-", min_size=1, max_size=128)
ADDRESSES = st.sampled_from(
    ["", "127.0.0.1:49070", "203.0.113.77:50122", "[2001:db8:1234:5678:9abc:def0:1234:5678]:50122"]
)
WORDS = st.lists(st.text("abc 0123456789.,/é漢", max_size=30), max_size=3)


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    numbers = st.integers(0, 10**7)
    row = stream_row(draw(NAMES), draw(NAMES), draw(st.integers(0, 99)), address=draw(ADDRESSES))
    row |= {
        "fps": draw(st.floats(0, 240)),
        "bitrate_bps": draw(st.integers(0, 10**9)),
        "dropped_by_worker": draw(numbers),
        "state": draw(st.sampled_from(["live", "source only", "held", "switching", "waiting"])),
        "is_live": draw(st.booleans()),
        "away_s": draw(st.none() | st.floats(0, 10**6)),
        "notices": [
            {"code": "x", "words": text, "since_unix": 0.0, "is_fault": True}
            for text in draw(WORDS)
        ],
        "reason": " ".join(draw(WORDS)),
    }
    row["renditions"][0]["players"] = draw(numbers)
    row["stages_ms"] = {"queue": [draw(st.floats(0, 10**5)), 60.2], "total:720p": [14.6, 20.8]}
    return row


@settings(max_examples=60, deadline=None)
@given(
    st.lists(rows(), max_size=4),
    st.sampled_from([80, 120, 160]) | st.integers(20, 250),
    st.none() | st.booleans(),
)
def test_no_line_is_wider_than_the_terminal_and_every_number_is_whole(
    streams: list[dict[str, Any]], width: int, renditions: bool | None
) -> None:
    found = farm_document(streams)
    made = page(found, 2_000.0, width, Shown(renditions=renditions, height=24)).lines
    assert max(map(line_cells, made)) <= width
    shown = {word for line in made for word in plain(line).split()}
    latency = latency_lines(found, width)
    assert max(map(line_cells, latency)) <= width
    timed = {word for line in latency for word in plain(line).split()}
    for stream in streams:
        if width >= 80:
            assert f"{stream['fps']:.1f}" in shown
            assert f"{stream['bitrate_bps'] / 1000:.0f}" in shown
            assert str(sum(r["players"] for r in stream["renditions"])) in shown
            assert {f"{stream['stages_ms']['queue'][0]:.1f}", "60.2", "14.6", "20.8"} <= timed
    if width >= 80:  # an address is whole, or not there
        for word in shown:
            if re.fullmatch(r"\[?[0-9a-f.:]+\]?:\d+", word) and word.count(":") != 2:
                known = {stream["publisher"] for stream in streams}
                assert word in known | {"127.0.0.1:1935"}, word


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_latency_has_whole_numbers_and_all_names(width: int) -> None:
    stream = stream_row()
    stages = ("handover", "scale", "encode", "mux", "transit", "egress", "total")
    names = [rendition["name"] for rendition in stream["renditions"]]
    stream["stages_ms"] = {stage: [10.5, 1060.2] for stage in ("ingest", "queue", "decode")}
    stream["stages_ms"] |= {f"{stage}:{name}": [14.6, 60.2] for stage in stages for name in names}
    made = list(map(plain, latency_lines(farm_document([stream]), width)))
    assert made[0] == "live/cam0: p50 / p99 in ms"
    assert " ".join(made).count("14.6 / 60.2") == len(stages) * len(names)
    assert " ".join(made).count("10.5 / 1060.2") == 3
    for name in ("the stream", *names):
        assert sum(name in line for line in made) == 1


def test_a_filter_says_how_many_it_shows() -> None:
    found = farm_document([stream_row(key=f"cam{i}", index=i) for i in range(12)])
    shown = Shown(Selection(pattern="live/cam1*", sort="players"))
    made = lines(found, 80, shown)
    assert "Streams: 3 of 12, by players" in made
    assert [line.split()[0] for line in made if line.startswith("live/")] == [
        "live/cam11",
        "live/cam10",
        "live/cam1",
    ]

"""The page of one stream: which is meant, what stands on it, that it fits narrow terminals."""

from typing import Any

import pytest

from supervisor.commands.status.stream_page import NoSuchStream, named, part_of, stream_lines
from supervisor.commands.terminal.layout import line_cells, plain
from tests.kit.status_pages import stream_row

NOW = 2_000.0


def document(
    *streams: dict[str, Any], decisions: tuple[dict[str, Any], ...] = ()
) -> dict[str, Any]:
    return {"streams": list(streams), "decisions": list(decisions)}


def shown(stream: dict[str, Any], width: int = 80, **around: Any) -> list[str]:
    lines = stream_lines(document(stream, **around), stream, NOW, width)
    assert max(map(line_cells, lines)) <= width
    return [plain(line).rstrip() for line in lines]


def notice(code: str, words: str, since: float = 1_940.0, is_fault: bool = True) -> dict[str, Any]:
    return {"code": code, "words": words, "since_unix": since, "is_fault": is_fault}


def test_one_stream_is_meant_by_its_whole_name_alone():
    cam1, cam10 = stream_row(key="cam1"), stream_row(key="cam10")
    status = document(cam1, cam10)
    assert named(status, "live/cam1") is cam1
    assert named(status, "live/cam10") is cam10
    for several in ("", "cam", "live/cam", "live/cam?", "cam1", "live/cam*9"):
        assert named(status, several) is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("live/cma1", "no such stream: live/cma1; did you mean live/cam1?"),
        ("tv/door", "no such stream: tv/door; did you mean live/door?"),
        ("live/xyzzy", "no such stream: live/xyzzy; `tfarm status` lists the 2 streams"),
    ],
)
def test_an_unknown_name_is_answered_with_near_ones(name: str, words: str) -> None:
    status = document(stream_row(key="cam1"), stream_row(key="door"))
    with pytest.raises(NoSuchStream) as caught:
        named(status, name)
    assert str(caught.value) == words


def test_an_unknown_name_on_an_empty_farm():
    with pytest.raises(NoSuchStream, match="nobody publishes now"):
        named(document(), "live/cam")


def test_how_the_packets_of_a_publisher_by_srt_come_stands_below_it():
    line = {"protocol": "srt", "latency_ms": 120, "rtt_ms": 20.5, "received": 900}
    line |= {"missed": 45, "lost": 2, "undecrypted": 0}
    page = " ".join(" ".join(shown(stream_row(key="cam") | {"line": line})).split())
    assert "SRT, latency 120 ms, round trip 20.5 ms, 900 packets, 45 asked for again" in page
    assert "2 did not come in time" in page
    assert "decrypted" not in page


def test_what_is_wrong_stands_with_what_to_set_faults_first():
    stream = stream_row(key="cam") | {
        "notices": [
            notice("no-sound", "no sound has come", 1_880.0, is_fault=False),
            notice("long-gop", "keyframes are 8.3 s apart: set the keyframe interval to 2 s"),
        ],
        "levels": {"peak_dbfs": -6.2, "rms_dbfs": -18.0},
        "degraded": "no top rendition",
    }
    text = shown(stream)
    at = text.index("Notices")
    assert text[at + 1 : at + 5] == [
        "- keyframes are 8.3 s apart: set the keyframe interval to 2 s (long-gop, for 1",
        "  min)",
        "- no sound has come (no-sound, for 2 min)",
        "- degraded: no top rendition",
    ]
    assert "sound      AAC-LC 48 kHz 2ch, peak -6 dBFS, RMS -18 dBFS" in text
    assert "nothing is wrong with it" in shown(stream_row())


def test_the_delay_has_a_row_a_stage_and_names_the_slowest_rendition():
    stream = stream_row()
    names = [rendition["name"] for rendition in stream["renditions"]]
    stages = {"ingest": [0.1, 0.4], f"encode:{names[0]}": [2.0, 5.0]}
    if len(names) > 1:
        stages[f"encode:{names[1]}"] = [3.0, 9.0]
    text = shown(stream | {"stages_ms": stages})
    at = next(i for i, line in enumerate(text) if line.startswith("Delay in ms"))
    rows = [line.split() for line in text[at + 1 : at + 4]]
    assert rows[0] == ["stage", "p50", "p99", "of"]
    assert rows[1] == ["ingest", "0.1", "0.4"]
    assert rows[2][0] == "encode"
    assert not any(line.startswith("Delay") for line in shown(stream | {"stages_ms": {}}))


def test_drops_by_place_and_the_decisions_about_it_alone():
    stream = stream_row(key="cam") | {
        "dropped": {"to worker": 12},
        "decode_errors": 3,
    }
    about = {"at_unix": 1_999.0, "app": "live", "key": "cam", "text": "placed on worker:cpu:0"}
    other = about | {"key": "other", "text": "refused: full"}
    text = " ".join(shown(stream, decisions=(about, other)))
    assert "12 to worker" in " ".join(text.split())
    assert "3 not decoded, or damaged" in " ".join(text.split())
    assert "placed on worker:cpu:0" in text
    assert "refused: full" not in text
    part = part_of(document(stream, decisions=(about, other)), stream)
    assert part["decisions"] == [about]
    assert part["key"] == "cam"


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
def test_it_fits_whatever_terminal(width: int) -> None:
    stream = stream_row(key="a-camera-with-a-name-that-nobody-would-like-to-type") | {
        "notices": [notice("long-gop", "keyframes are 8.3 s apart: set the interval to 2 s")],
        "stages_ms": {"ingest": [0.1, 1234.5]},
        "dropped": {"to worker": 1_234_567},
    }
    text = " ".join(" ".join(shown(stream, width)).split())
    for whole in ("8.3 s apart", "1234.5", "1234567"):
        assert whole in text.replace(" - ", " "), "a number is never cut"


def test_a_publisher_that_is_away():
    stream = stream_row() | {"state": "held", "is_live": False, "away_s": 4.0}
    text = shown(stream)
    assert text[0] == "live/cam0 held"
    assert any("away for 4 s; the stream began" in line for line in text)

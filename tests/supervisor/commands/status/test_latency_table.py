"""One row a stage; more renditions than fit beside one another go on below."""

from supervisor.commands.status.latency_table import latency_lines
from supervisor.commands.status.stream_selection import Selection
from supervisor.commands.terminal.layout import line_cells, plain
from tests.kit.status_pages import farm_document, rendition_row, stream_row


def test_many_renditions_stand_in_several_blocks() -> None:
    stream = stream_row()
    names = [f"a-long-rendition-{i}" for i in range(9)]
    stream["renditions"] = [rendition_row(name, 640, 360) for name in names]
    stream["stages_ms"] = {f"total:{name}": [float(i), 99.5] for i, name in enumerate(names)}
    made = latency_lines(farm_document([stream]), 80)
    assert max(map(line_cells, made)) <= 80
    told = list(map(plain, made))
    assert sum(line.startswith("stage") for line in told) == 4
    totals = " ".join(line for line in told if line.startswith("total"))
    assert all(f"{i}.0 / 99.5" in totals for i in range(9))


def test_a_stage_without_times_has_a_dash_and_no_stream_is_said() -> None:
    told = list(map(plain, latency_lines(farm_document([stream_row()]), 80)))
    assert [line.split() for line in told if line.startswith("decode")] == [["decode", "-"]]
    assert plain(latency_lines(farm_document(), 80)[0]) == "no stream"


def test_it_can_be_filtered() -> None:
    found = farm_document([stream_row(key="a"), stream_row(key="b")])
    told = list(map(plain, latency_lines(found, 80, Selection(pattern="live/b"))))
    assert [line for line in told if "p50" in line] == ["live/b: p50 / p99 in ms"]

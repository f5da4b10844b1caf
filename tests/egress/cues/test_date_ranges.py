"""Cue points as date ranges of playlists."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from egress.cues.cue_point import CuePoint
from egress.cues.date_ranges import MAX_CUES, MAX_VALUE_CHARS, CuePoints, date_ranges

UNIX_S = 1_700_000_000.0
LINE = re.compile(r'#EXT-X-DATERANGE:([A-Z0-9-]+=("[^"\r\n]*"|-?[0-9.]+)(,(?!$)|$))+')


def test_a_cue_point_is_a_date_range_with_what_it_says() -> None:
    entries = (
        ("type", "com.youtube.cuepoint"),
        ("break_duration_sec", 30.0),
        ("cue_point_start", True),
        ("time", 2.56),
    )
    (line,) = date_ranges([CuePoint(12_340, entries)], 0.0, UNIX_S)
    assert line == (
        '#EXT-X-DATERANGE:ID="cue-1700000012340-1",CLASS="onCuePoint",'
        'START-DATE="2023-11-14T22:13:32.340Z",PLANNED-DURATION=30.000,'
        'X-CUE-TYPE="com.youtube.cuepoint",X-CUE-BREAK-DURATION-SEC=30,X-CUE-CUE-POINT-START="YES",'
        "X-CUE-TIME=2.56"
    )


def test_cues_come_once_in_order_and_keep_their_ids_while_others_go() -> None:
    cues = CuePoints()
    first, second, third = (CuePoint(ms, (("n", 1.0 * ms),)) for ms in (1000, 2000, 3000))
    twin = CuePoint(2000, (("n", 5.0),))
    for cue in (third, first, second, first, twin, third):
        cues.add(cue)
    every = cues.lines(0.0, UNIX_S)
    assert [re.findall('ID="([^"]*)"', line)[0] for line in every] == [
        f"cue-17000000{second}" for second in ("01000-1", "02000-1", "02000-2", "03000-1")
    ]
    assert cues.lines(1.5, UNIX_S) == every[1:]
    assert cues.lines(9.0, UNIX_S) == []


def test_the_oldest_of_many_give_way() -> None:
    cues = CuePoints()
    for ms in range(3 * MAX_CUES):
        cues.add(CuePoint(ms, ()))
    assert len(cues.lines(0.0, UNIX_S)) == MAX_CUES


def test_what_cannot_be_said_is_left_out() -> None:
    entries = (("a", "x" * (MAX_VALUE_CHARS + 1)), ("b", float("inf")), ("", "c"), ("é", "d"))
    (line,) = date_ranges([CuePoint(0, entries)], 0.0, UNIX_S)
    assert "X-CUE" not in line


@settings(max_examples=200)
@given(st.lists(st.tuples(st.text(), st.one_of(st.text(), st.floats(), st.booleans()))))
def test_whatever_a_publisher_says_is_one_line_of_the_playlist(
    entries: list[tuple[str, str | float | bool]],
) -> None:
    (line,) = date_ranges([CuePoint(0, tuple(entries))], 0.0, UNIX_S)
    assert LINE.fullmatch(line), line
    names = re.findall(r'(?:^|,)([A-Z0-9-]+)=(?:"[^"]*"|[^",]*)', line.partition(":")[2])
    assert len(set(names)) == len(names)
    assert "\0" not in line

"""Which streams are meant, in which order, and what is wrong with them."""

from typing import Any

import pytest

from supervisor.commands.status.stream_selection import (
    Selection,
    dropped,
    is_glob,
    name_of,
    problems,
    select,
)
from tests.kit.status_pages import stream_row


def rows() -> list[dict[str, Any]]:
    found = [
        stream_row("live", "cam10", 1),
        stream_row("tv", "one", 5),
        stream_row("live", "cam2", 3),
        stream_row("live", "cam1", 2),
    ]
    found[1] |= {"state": "held", "is_live": False, "away_s": 2.0}
    found[2]["bitrate_bps"] = 9_000_000
    return found


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        (Selection(), ["live/cam1", "live/cam2", "live/cam10", "tv/one"]),
        (Selection(app="tv"), ["tv/one"]),
        (Selection(app="t"), []),
        (Selection(pattern="live/cam1*"), ["live/cam1", "live/cam10"]),
        (Selection(pattern="live/cam?"), ["live/cam1", "live/cam2"]),
        (Selection(pattern="*/cam[12]"), ["live/cam1", "live/cam2"]),
        (Selection(pattern="am1"), ["live/cam1", "live/cam10"]),
        (Selection(pattern="nonesuch"), []),
        (Selection(has_problems=True), ["tv/one"]),
        (Selection(app="live", has_problems=True), []),
        (Selection(sort="players"), ["tv/one", "live/cam2", "live/cam1", "live/cam10"]),
        (Selection(sort="dropped"), ["tv/one", "live/cam2", "live/cam1", "live/cam10"]),
        (Selection(sort="bitrate"), ["live/cam2", "live/cam1", "live/cam10", "tv/one"]),
        (Selection(sort="state"), ["tv/one", "live/cam1", "live/cam2", "live/cam10"]),
    ],
)
def test_streams_are_chosen_and_sorted(selection: Selection, names: list[str]) -> None:
    assert [name_of(stream) for stream in select(rows(), selection)] == names


def test_a_glob_has_characters_that_no_key_has() -> None:
    assert [is_glob(text) for text in ("live/cam*", "live/?", "a[1]", "live/cam-1,2!")] == [
        True,
        True,
        True,
        False,
    ]


def test_dropped_pictures_are_counted_once() -> None:
    stream = stream_row()
    stream |= {"dropped": {"worker": 3, "egress": 4}, "dropped_by_worker": 10}
    stream["dropped_by_renditions"] = 5  # the sum of the renditions' own
    stream["renditions"][1] |= {"dropped": 5, "dropped_to_players": 100}
    assert dropped(stream) == 3 + 4 + 10 + 5 + 100


def test_the_worst_comes_first() -> None:
    stream = stream_row()
    assert problems(stream) == []
    stream |= {"is_live": False, "away_s": 2.0, "crashes": 2, "degraded": "b"}
    stream["notices"] = [{"words": "a", "is_fault": True}, {"words": "c", "is_fault": False}]
    assert problems(stream) == [
        "publisher away for 2 s",
        "degraded: b",
        "source: a",
        "2 workers have crashed that it ran on",
    ]
    stream |= {"state": "waiting", "reason": "source only, waits for room"}
    assert problems(stream)[1] == "source only, waits for room"

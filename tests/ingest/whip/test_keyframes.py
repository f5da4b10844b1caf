"""When a keyframe is asked for, by a table of what comes when."""

import pytest

from ingest.whip.keyframes import KeyframeWish

KEY, LOST = "key", "lost"


@pytest.mark.parametrize(
    ("events", "asked"),
    [
        ([], [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5]),
        ([(0.25, KEY)], [0.0, 2.5, 4.5]),  # none within the gop of 2 s: it is asked for
        ([(0.25, KEY), (2.0, KEY), (4.0, KEY)], [0.0]),  # as it should be
        ([(0.25, KEY), (1.25, LOST)], [0.0, 1.25, 2.25, 3.25, 4.25]),
        ([(0.25, KEY), (1.25, LOST), (1.5, KEY)], [0.0, 1.25, 3.75]),
        ([(0.25, KEY), (1.25, LOST), (1.375, LOST), (1.5, KEY), (3.5, KEY)], [0.0, 1.25]),
    ],
)
def test_requests(events: list[tuple[float, str]], asked: list[float]) -> None:
    wish, found = KeyframeWish(2.0), []
    for tick in range(40):
        now = tick / 8
        for at, what in events:
            if at == now:
                wish.on_key(now) if what == KEY else wish.on_lost()
        if wish.is_due(now):
            found.append(now)
    assert found == asked
    assert wish.asked == len(asked)
    assert wish.has_come == any(what == KEY for _, what in events)

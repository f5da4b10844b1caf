"""Each rule about decoded pictures by its table."""

from dataclasses import dataclass

import pytest

from common.notices.doctor import Doctor
from common.notices.notices import Notices
from worker.quality.floor import LowRendition
from worker.session.picture_rules import PICTURE_RULES, ErrorMeter, PictureFigures

GOOD = PictureFigures()


@dataclass(frozen=True)
class Row:
    code: str
    wrong: PictureFigures
    between: PictureFigures | None  # None: there is nothing between
    words: str


TABLE = [
    Row(
        "damaged-pictures",
        PictureFigures(errors_a_minute=12),
        PictureFigures(errors_a_minute=3),
        "12 pictures of the last minute were damaged",
    ),
    Row(
        "no-composition-times",
        PictureFigures(has_guessed_times=True),
        None,
        "it sends B-frames without composition times",
    ),
    Row(
        "black-picture",
        PictureFigures(black_s=12, still_s=40),
        PictureFigures(black_s=6),
        "the picture has been black for 12 s",
    ),
    Row(
        "still-picture",
        PictureFigures(still_s=45),
        PictureFigures(still_s=10),
        "the picture has not changed for 45 s: a still screen, or a camera that froze",
    ),
    Row(
        "low-quality",
        PictureFigures(low=(LowRendition("720p", 0.87, 0.9), LowRendition("360p", 0.8, 0.85))),
        None,
        "720p has SSIM 0.870, its floor is 0.9; 360p has SSIM 0.800, its floor is 0.85: give it",
    ),
]


def test_every_rule_has_its_row():
    assert [row.code for row in TABLE] == [rule.code for rule in PICTURE_RULES]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.code)
def test_rule(row: Row) -> None:
    (rule,) = [rule for rule in PICTURE_RULES if rule.code == row.code]
    notices = Notices()
    doctor = Doctor(PICTURE_RULES, notices)
    now = 0.0

    def seconds(figures: PictureFigures, count: float) -> dict[str, str]:
        nonlocal now
        for _ in range(int(count)):
            now += 1
            doctor.look(figures, now)
        return {notice.code: notice.words for notice in notices.as_tuple(0, 0)}

    if row.between is not None:
        assert seconds(row.between, 60) == {}
    assert row.code not in seconds(row.wrong, rule.after_s)
    found = seconds(row.wrong, 1)
    assert list(found) == [row.code], "a black picture is not told to stand still too"
    assert row.words in found[row.code]
    assert row.code in seconds(row.between or row.wrong, 60)
    assert row.code in seconds(GOOD, rule.until_s) or not rule.until_s
    assert seconds(GOOD, 1) == {}


def test_errors_count_for_a_minute():
    meter = ErrorMeter()
    assert [meter.last_minute(count, now) for now, count in ((0, 7), (1, 7), (10, 9))] == [0, 0, 2]
    assert meter.last_minute(9, 60.0) == 2
    assert meter.last_minute(9, 61.5) == 2
    assert meter.last_minute(9, 71.0) == 0

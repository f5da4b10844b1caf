"""Each rule about levels by its table: which begin it, which let it stay, which end it."""

from dataclasses import dataclass

import pytest

from common.notices.doctor import Doctor
from common.notices.notices import Notices
from worker.audio.level_rules import LEVEL_RULES, LevelFigures

LOUD = LevelFigures(-6, -7, -18)


@dataclass(frozen=True)
class Row:
    code: str
    wrong: LevelFigures
    between: LevelFigures
    words: str


TABLE = [
    Row(
        "silence",
        LevelFigures(-91, -91, -96, silent_s=15),
        LevelFigures(-91, -91, -96, silent_s=5),
        "the sound has been silent for 15 s (peak -91 dBFS): unmute the input",
    ),
    Row(
        "quiet-sound",
        LevelFigures(-42, -42, -55),
        LevelFigures(-28, -28, -40),
        "its peaks are at -42 dBFS: raise the level by 30 dB",
    ),
    Row(
        "clipping",
        LevelFigures(0, 0, -3, clipped=0.05),
        LevelFigures(0, 0, -3, clipped=0.002),
        "the sound clips: 5.0% of it is at full scale",
    ),
    Row(
        "one-channel",
        LevelFigures(-6, -120, -12),
        LevelFigures(-6, -41, -12),
        "sound on one channel alone",
    ),
]


def test_every_rule_has_its_row():
    assert [row.code for row in TABLE] == [rule.code for rule in LEVEL_RULES]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.code)
def test_rule(row: Row) -> None:
    (rule,) = [rule for rule in LEVEL_RULES if rule.code == row.code]
    notices = Notices()
    doctor = Doctor(LEVEL_RULES, notices)
    now = 0.0

    def samples(figures: LevelFigures, seconds: float) -> dict[str, str]:
        nonlocal now
        for _ in range(int(seconds)):
            now += 1
            doctor.look(figures, now)
        return {notice.code: notice.words for notice in notices.as_tuple(0, 0)}

    assert samples(row.between, 60) == {}
    assert row.code not in samples(row.wrong, rule.after_s)
    found = samples(row.wrong, 1)
    assert list(found) == [row.code]
    assert row.words in found[row.code]
    assert row.code in samples(row.between, 60)
    assert row.code in samples(LOUD, rule.until_s)
    assert samples(LOUD, 1) == {}

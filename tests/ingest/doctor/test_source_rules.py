"""Each rule by its table: which figures begin it, which let it stay, which end it, what it says."""

from dataclasses import dataclass
from fractions import Fraction

import pytest

from common.config.ladder import SourceFormat
from common.notices.doctor import Doctor
from common.notices.notices import Notices
from ingest.doctor.source_figures import SourceFigures
from ingest.doctor.source_rules import SOURCE_EVENTS, SOURCE_RULES

HD = (1920, 1080, 60)


@dataclass(frozen=True)
class Row:
    code: str
    wrong: SourceFigures  # begins
    between: SourceFigures  # begins nothing, ends nothing
    right: SourceFigures  # ends
    words: str  # part of them


def source(width: int, height: int, fps: int = 30) -> SourceFigures:
    return SourceFigures(format=SourceFormat(width, height, fps=Fraction(fps)), max_source=HD)


TABLE = [
    Row(
        "long-gop",
        SourceFigures(gop_s=8.3),
        SourceFigures(gop_s=4.7),
        SourceFigures(gop_s=2.0),
        "keyframes are 8.3 s apart: set the keyframe interval to 2 s",
    ),
    Row(
        "pictures-late",
        SourceFigures(late_share=0.3),
        SourceFigures(late_share=0.05),
        SourceFigures(late_share=0.01),
        "30% of the pictures come more than 0.3 s late",
    ),
    Row(
        "too-slow",
        SourceFigures(behind_share=0.1, late_share=0.8),
        SourceFigures(behind_share=0.02),
        SourceFigures(behind_share=0.0),
        "the media comes at 90% of real time",
    ),
    Row(
        "too-fast", SourceFigures(is_fast=True), SourceFigures(is_fast=True), SourceFigures(), "-re"
    ),
    Row(
        "sound-apart",
        SourceFigures(sound_behind_ms=-400),
        SourceFigures(sound_behind_ms=-250),
        SourceFigures(sound_behind_ms=-30),
        "the sound comes 400 ms ahead of its picture",
    ),
    Row(
        "high-bitrate",
        SourceFigures(bitrate_bps=24e6, top_bitrate_bps=2_500_000),
        SourceFigures(bitrate_bps=11e6, top_bitrate_bps=2_500_000),
        SourceFigures(bitrate_bps=6e6, top_bitrate_bps=2_500_000),
        "it sends 24.0 Mbit/s, the largest rendition has 2.5 Mbit/s: "
        "set its bitrate to 7.5 Mbit/s or less",
    ),
    Row(
        "high-rate",
        source(1920, 1080, 120),
        source(1920, 1080, 64),
        source(1920, 1080, 60),
        "120 pictures a second, max_source says 60",
    ),
    Row(
        "unsteady-rate",
        SourceFigures(rates=(12, 30)),
        SourceFigures(rates=(18, 30)),
        SourceFigures(rates=(28, 30)),
        "between 12 and 30 pictures a second",
    ),
    Row(
        "large-source",
        source(3840, 2160),
        source(1940, 1080),
        source(1080, 1920),
        "the source is 3840x2160, max_source says 1920x1080@60",
    ),
    Row(
        "reorder-delay",
        SourceFigures(reorder_ms=160),
        SourceFigures(reorder_ms=130),
        SourceFigures(reorder_ms=80),
        "B-frames add 160 ms of delay",
    ),
    Row(
        "no-sound",
        SourceFigures(live_s=12, silent_s=None),
        SourceFigures(live_s=5, silent_s=None),
        SourceFigures(live_s=20, silent_s=0.0),
        "no sound has come",
    ),
    Row(
        "sound-stopped",
        SourceFigures(silent_s=7),
        SourceFigures(silent_s=3),
        SourceFigures(silent_s=0.1),
        "no sound has come for 7 s",
    ),
    Row(
        "picture-stopped",
        SourceFigures(still_s=7),
        SourceFigures(still_s=3),
        SourceFigures(still_s=0.1),
        "no picture has come for 7 s",
    ),
    Row(
        "unreadable-pictures",
        SourceFigures(unreadable=9),
        SourceFigures(unreadable=2),
        SourceFigures(unreadable=0),
        "9 pictures in the last minute could not be read",
    ),
]


def test_every_rule_has_its_row_and_a_code_of_its_own():
    codes = [rule.code for rule in SOURCE_RULES]
    assert [row.code for row in TABLE] == codes
    assert len({*codes, *SOURCE_EVENTS}) == len(codes) + len(SOURCE_EVENTS)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.code)
def test_rule(row: Row) -> None:
    (rule,) = [rule for rule in SOURCE_RULES if rule.code == row.code]
    notices = Notices()
    doctor = Doctor(SOURCE_RULES, notices)
    now = 0.0

    def seconds(figures: SourceFigures, count: float) -> dict[str, str]:
        nonlocal now
        for _ in range(int(count)):
            now += 1
            doctor.look(figures, now)
        return {notice.code: notice.words for notice in notices.as_tuple(0, 0)}

    # a rule may begin and end at once: where nothing lies between, `between` is as `wrong`
    is_switch = rule.enter == rule.leave
    if not is_switch:
        assert row.code not in seconds(row.between, 60)
    assert row.code not in seconds(row.wrong, rule.after_s)
    found = seconds(row.wrong, 1)
    assert list(found) == [row.code], "one thing wrong is one notice"
    assert row.words in found[row.code]
    assert row.code in seconds(row.between, 60)
    assert row.code in seconds(row.right, rule.until_s)
    assert seconds(row.right, 1) == {}
    lines = [change.begins for change in doctor.take_changes()]
    assert lines == [True, False]

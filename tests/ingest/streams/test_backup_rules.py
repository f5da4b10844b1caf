"""When a stream goes over to the publisher that stands by, by table."""

from dataclasses import replace
from fractions import Fraction

import pytest

from ingest.streams.backup_rules import (
    PublisherRole,
    Seen,
    Wanted,
    good_since,
    is_ready,
    reason_to_switch,
)
from tests.kit.ingest_ports import TEMPLATE

MAIN, BACKUP = PublisherRole.MAIN, PublisherRole.BACKUP
RULE = replace(TEMPLATE, takes_backup=True, backup_after_s=2.0, backup_return_s=5.0)
NOW = 1000.0


def seen(role: PublisherRole, ago_s: float | None, good_s: float | None = None) -> Seen:
    picture_s = None if ago_s is None else NOW - ago_s
    return Seen(role, picture_s, None if good_s is None else NOW - good_s, Fraction(25))


TO_MAIN, TO_BACKUP = Wanted(MAIN, "wanted"), Wanted(BACKUP, "wanted")


@pytest.mark.parametrize(
    ("active", "standby", "wanted", "reason"),
    [
        (seen(MAIN, 0.1), seen(BACKUP, 0.1, 60), None, ""),
        (seen(MAIN, 1.9), seen(BACKUP, 0.1), None, ""),
        (seen(MAIN, 2.0), seen(BACKUP, 0.1), None, "no picture of the main publisher for 2.0 s"),
        (seen(MAIN, 9.0), seen(BACKUP, 1.1), None, ""),
        (seen(MAIN, 9.0), seen(BACKUP, None), None, ""),
        (seen(MAIN, None), seen(BACKUP, 0.1), None, ""),
        (None, seen(BACKUP, 0.1), None, "the main publisher is away"),
        (None, seen(BACKUP, 3.0), None, ""),
        (None, seen(MAIN, 0.1, 0.0), None, "the backup publisher is away"),
        (seen(BACKUP, 0.1), seen(MAIN, 0.1, 4.9), None, ""),
        (seen(BACKUP, 0.1), seen(MAIN, 0.1, 5.0), None, "the main publisher is back for 5 s"),
        (seen(BACKUP, 0.1), seen(MAIN, 0.1), None, ""),
        (seen(MAIN, 0.1), seen(BACKUP, 0.1), TO_BACKUP, "wanted"),
        (seen(BACKUP, 0.1), seen(MAIN, 0.1, 60), TO_BACKUP, ""),
        (seen(BACKUP, 0.1), seen(MAIN, 0.1, 0.1), TO_MAIN, "wanted"),
        (None, seen(MAIN, 0.1), TO_BACKUP, "the backup publisher is away"),
    ],
)
def test_the_reason_to_go_over(
    active: Seen | None, standby: Seen, wanted: Wanted | None, reason: str
) -> None:
    assert reason_to_switch(RULE, active, standby, wanted, NOW) == reason


def test_a_slow_source_has_time_for_three_pictures() -> None:
    slow = replace(seen(MAIN, 5.0), fps=Fraction(1, 2))
    assert reason_to_switch(RULE, slow, seen(BACKUP, 0.1), None, NOW) == ""
    assert is_ready(replace(slow, role=BACKUP), NOW)


def test_good_is_counted_from_the_first_picture_behind_a_gap() -> None:
    assert good_since(seen(MAIN, 0.1), NOW) == NOW
    assert good_since(seen(MAIN, 0.1, 3.0), NOW) == NOW - 3.0
    assert good_since(seen(MAIN, 1.5, 3.0), NOW) is None

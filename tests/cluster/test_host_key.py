"""cluster/host_key.py."""

import pytest

from cluster.host_key import differs
from cluster.keys import HostRecord

BEFORE = HostRecord("f", "1", "r", "p", {"software": 50.0}, {"software": 100.0})


@pytest.mark.parametrize(
    ("after", "is_worth"),
    [
        (BEFORE, False),
        (HostRecord("f", "1", "r", "p", {"software": 50.9}, {"software": 100.0}), False),
        (HostRecord("f", "1", "r", "p", {"software": 48.9}, {"software": 100.0}), True),
        (HostRecord("f", "1", "r", "p", {"software": 50.0}, {"software": 101.0}), True),
        (HostRecord("f", "1", "r", "p", {}, {}), True),
        (HostRecord("f", "1", "s", "p", BEFORE.free, BEFORE.capacity), True),
        (HostRecord("f", "1", "r", "p", BEFORE.free, BEFORE.capacity, True), True),
    ],
)
def test_a_host_key_is_written_when_more_than_a_hundredth_has_changed(
    after: HostRecord, is_worth: bool
) -> None:
    assert differs(after, BEFORE) == is_worth

"""What a rule may be."""

import pytest

from common.notices.rules import Rule


def test_a_rule_ends_no_higher_than_it_begins():
    with pytest.raises(ValueError, match="would end before it begins"):
        Rule("x", "", "", str, float, enter=1, leave=2, after_s=0, until_s=0)

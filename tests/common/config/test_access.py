"""common/config/access.py: which rules hold."""

import pytest

from common.config.access import (
    EVERYBODY,
    NOBODY,
    Rules,
    Signing,
    Way,
    effective_rules,
    is_open,
)

BY_KEY, BY_URL = (Way.KEY,), (Way.SIGNED,)


@pytest.mark.parametrize(
    ("given", "has_keys", "is_signed", "rules"),
    [
        ((), False, False, EVERYBODY),
        ((), True, False, (BY_KEY,)),
        ((), False, True, (BY_URL,)),
        ((), True, True, (BY_KEY, BY_URL)),
        (((Way.KEY, Way.SIGNED),), True, True, ((Way.KEY, Way.SIGNED),)),
        (EVERYBODY, False, True, EVERYBODY),
        (NOBODY, False, False, NOBODY),
    ],
)
def test_rules_come_of_what_is_configured_unless_they_are_given(
    given: Rules, has_keys: bool, is_signed: bool, rules: Rules
) -> None:
    found = effective_rules(given, has_keys=has_keys, is_signed=is_signed, has_hook=False)
    assert found == rules
    assert is_open(found) == (rules == EVERYBODY)


def test_secrets_stand_in_no_repr() -> None:
    assert "hunter2" not in repr(Signing((("k1", "hunter2hunter2hunter2"),)))


def test_a_hook_is_asked_about_whoever_fulfils_another_rule() -> None:
    def rules(has_keys: bool, is_signed: bool) -> Rules:
        return effective_rules((), has_keys=has_keys, is_signed=is_signed, has_hook=True)

    assert rules(False, False) == ((Way.HOOK,),)
    assert rules(True, True) == ((Way.KEY, Way.HOOK), (Way.SIGNED, Way.HOOK))

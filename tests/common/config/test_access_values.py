"""common/config/access_values.py: rules and secrets as a file has them."""

from typing import Any

import pytest

from common.config.access import Way
from common.config.access_values import AccessRule, SigningSecret


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("open", (Way.OPEN,)),
        ("key", (Way.KEY,)),
        ("signed", (Way.SIGNED,)),
        ("key+signed", (Way.KEY, Way.SIGNED)),
        ("signed+key", (Way.KEY, Way.SIGNED)),
    ],
)
def test_a_rule_is_ways_joined_by_a_plus(text: str, rule: tuple[Way, ...]) -> None:
    assert AccessRule().read(text) == rule
    assert AccessRule().read(AccessRule().write(rule)) == rule


@pytest.mark.parametrize(
    "value", ["", "keys", "key+", "+key", "key+key", "open+key", "key, signed", "KEY", 5, ["key"]]
)
def test_anything_else_is_no_rule(value: Any) -> None:
    with pytest.raises(ValueError, match='must be "open", or "key"'):
        AccessRule().read(value)


@pytest.mark.parametrize("value", ["hunter2", "x" * 257, 5, None])
def test_a_secret_is_long_and_stands_in_no_problem(value: Any) -> None:
    with pytest.raises(ValueError, match="16 to 256") as caught:
        SigningSecret().read(value)
    assert "hunter2" not in str(caught.value)
    assert SigningSecret().read("x" * 16) == "x" * 16

"""common/config/access_values.py: rules and secrets as a file has them."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from common.config.access import Way
from common.config.access_values import AccessRule, HostName, SigningSecret


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


@pytest.mark.parametrize("name", ["localhost", "live.example.org", "*.example.org", "a-1._b.c"])
def test_a_host_has_a_name_or_a_domain_of_names(name: str) -> None:
    assert HostName().write(HostName().read(name)) == name
    assert Draft202012Validator(HostName().schema()).is_valid(name)


@pytest.mark.parametrize(
    "value", ["Live.example.org", "a.*.org", "*", "*.", ".a", "a..b", "a b", "x" * 64, "", 5, None]
)
def test_anything_else_is_no_host(value: Any) -> None:
    with pytest.raises(ValueError, match="must be a name in lower case"):
        HostName().read(value)
    assert not Draft202012Validator(HostName().schema()).is_valid(value)

"""common/config/model_access.py: the keys of signed URLs. Those of streams: test_stream_keys.py."""

import pytest

from common.config.access import Signing, Way
from common.config.load import parse
from common.errors import ConfigError

A, B = "a" * 16, "b" * 16


def test_signing_keys_keep_their_order() -> None:
    live = {"signing": {"keys": {"new": A, "old": B}, "clock_skew": "5s"}, "play_rules": ["signed"]}
    (template,) = parse({"templates": {"live": live}}).templates
    assert template.signing == Signing((("new", A), ("old", B)), 5.0)
    assert template.play_rules == ((Way.SIGNED,),)


@pytest.mark.parametrize(
    ("live", "path", "problem"),
    [
        ({"signing": {"keys": {"k1": "hunter2"}}}, "signing.keys.k1", "16 to 256 characters"),
        ({"signing": {"keys": {"a.b": A}}}, "signing.keys.a.b", "must be 1 to 64 letters"),
        ({"signing": {"key": {}}}, "signing.key", 'did you mean "keys"?'),
        ({"play_rules": ["signde"]}, "play_rules[0]", 'must be "open"'),
        ({"play_rules": ["signed"]}, "play_rules", "signing has no keys"),
        ({"publish_rules": ["key"]}, "publish_rules", "there are no publish_keys"),
        (
            {"publish_rules": ["open", "key"], "publish_keys": ["long enough"]},
            "publish_rules",
            "never asked for",
        ),
        (
            {"publish_rules": ["open"], "publish_keys": ["long enough"]},
            "publish_rules",
            'no rule names "key"',
        ),
        (
            {
                "play_rules": ["signed"],
                "signing": {"keys": {"k1": A}},
                "stream_keys": {"cam1": {"play": "long enough"}},
            },
            "play_rules",
            'no rule names "key"',
        ),
        (
            {"takeover": "always", "publish_rules": ["open"], "signing": {"keys": {"k1": A}}},
            "takeover",
            "anyone takes over anyone",
        ),
    ],
)
def test_what_lets_nobody_in_or_everybody_by_mistake_is_a_fault(live, path, problem) -> None:
    with pytest.raises(ConfigError) as caught:
        parse({"templates": {"live": live}})
    (fault,) = caught.value.faults
    assert fault.path == f"templates.live.{path}"
    assert problem in fault.problem
    assert "hunter2" not in str(fault)


@pytest.mark.parametrize(
    "live",
    [
        {"takeover": "always", "signing": {"keys": {"k1": A}}},
        {"publish_rules": ["open"], "signing": {"keys": {"k1": A}}},
        {"publish_rules": ["key"], "stream_keys": {"cam1": "long enough"}},
        {"publish_rules": ["key+signed"], "publish_keys": ["x"], "signing": {"keys": {"k1": A}}},
    ],
)
def test_what_means_something_is_taken(live) -> None:
    parse({"templates": {"live": live}})

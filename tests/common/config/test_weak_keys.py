"""Which keys `tfarm check` warns of."""

from typing import Any

import pytest

from common.config.key_values import digest
from common.config.model import File
from common.config.weak_keys import weak_keys

SHORT = "is a key that can be guessed: take 8 characters or more"
LONG = "long-enough"
SECRET = "0123456789abcdef"
IN_CLEAR = "is not encrypted: who is on the way can answer in its place; take https"


@pytest.mark.parametrize(
    ("live", "faults"),
    [
        ({}, {}),
        ({"publish_keys": [LONG], "stream_keys": {"a": "another-one"}}, {}),
        ({"publish_keys": [LONG, "abc"]}, {"publish_keys[1]": SHORT}),
        ({"play_keys": ["abc"]}, {"play_keys[0]": SHORT}),
        ({"stream_keys": {"a": "abc"}}, {"stream_keys.a.publish": SHORT}),
        (
            {"stream_keys": {"a": {"publish": LONG, "play": [LONG, "abc"]}}},
            {"stream_keys.a.play[1]": SHORT},
        ),
        ({"stream_keys": {"a": f"sha256:{digest('abc')}"}}, {}),
        (
            {"stream_keys": {"a": LONG, "b": f"sha256:{digest(LONG)}"}},
            {
                "stream_keys.b.publish": "has a key that stream_keys.a.publish has too: who knows "
                "it can publish both"
            },
        ),
        (
            {"publish_keys_sha256": [digest(LONG)], "stream_keys": {"a": LONG}},
            {
                "stream_keys.a.publish": "has a key that publish_keys_sha256 has too: who knows it "
                "can publish both"
            },
        ),
        ({"stream_keys": {"a": {"publish": LONG, "play": LONG}}}, {}),
        ({"hooks": {"url": "http://127.0.0.1:9/", "secret": SECRET}}, {}),
        ({"hooks": {"url": "https://hooks.example/", "secret": SECRET}}, {}),
        ({"hooks": {"url": "http://hooks.example/", "secret": SECRET}}, {"hooks.url": IN_CLEAR}),
    ],
)
def test_short_keys_and_keys_of_two_streams_are_told_by_their_paths(
    live: dict[str, Any], faults: dict[str, str]
) -> None:
    found = weak_keys(File.model_validate({"templates": {"live": live}}))
    assert {fault.path: fault.problem for fault in found} == {
        f"templates.live.{path}": problem for path, problem in faults.items()
    }
    assert LONG not in str(found)


def test_a_short_token_of_the_api_is_told_by_its_path() -> None:
    tokens = ["a-token-that-is-long", "short", f"sha256:{digest('x')}"]
    (found,) = weak_keys(File.model_validate({"api": {"tokens": tokens}}))
    assert (found.path, found.problem) == (
        "api.tokens[1]",
        "can be guessed: take 16 characters or more",
    )

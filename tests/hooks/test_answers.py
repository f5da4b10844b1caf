"""hooks/answers.py: what an answer means, whatever comes back."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.config.key_values import digest
from common.config.limits import StreamLimits
from common.ipc.hook_messages import HookVerdict
from hooks.answers import DENIED, MAX_CACHE_S, Answered, answer_of
from hooks.limits import limits_of

TEMPLATES = {"live": StreamLimits(), "tv": StreamLimits(fps=60)}


def judged(status: int, body: Any = b"") -> Answered:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return answer_of(status, data, TEMPLATES, "live", limits_of)


@pytest.mark.parametrize(
    ("status", "body", "is_allowed", "words"),
    [
        (204, b"", True, ""),
        (200, {"allow": True}, True, ""),
        (200, {"allow": True, "something": "else"}, True, ""),
        (200, {"allow": False}, False, DENIED),
        (200, {"allow": False, "reason": "pay first"}, False, "pay first"),
        (403, b"", False, DENIED),
        (403, b"<html>", False, DENIED),
        (401, {"reason": "who are you?"}, False, "who are you?"),
        # no answers
        (200, b"", None, ""),
        (200, b"<html>welcome</html>", None, ""),
        (200, [True], None, ""),
        (200, {}, None, ""),
        (200, {"allow": 1}, None, ""),
        (200, {"allow": "true"}, None, ""),
        (201, {"allow": True}, None, ""),
        (302, {"allow": True}, None, ""),
        (404, b"", None, ""),
        (500, {"allow": True}, None, ""),
        (200, b"[" * 5_000, None, ""),
        (200, b"\xff\xfe", None, ""),
    ],
)
def test_yes_and_no_are_said_in_one_way_and_all_else_is_no_answer(
    status: int, body: Any, is_allowed: bool | None, words: str
) -> None:
    verdict = judged(status, body).verdict
    assert verdict.is_allowed is is_allowed
    assert verdict.words == words
    assert bool(verdict.detail) == (is_allowed is None)


def test_an_answer_may_name_another_stream_template_limits_keys_and_owner() -> None:
    body = {
        "allow": True,
        "stream": "cam-7",
        "template": "tv",
        "limits": {"max_bitrate": "6M"},
        "play_keys": ["watch", "sha256:" + digest("other")],
        "owner": "customer-1",
        "cache": 30,
    }
    found = judged(200, body)
    assert found.cache_s == 30.0
    assert found.verdict == HookVerdict(
        True,
        key="cam-7",
        template="tv",
        limits=replace(TEMPLATES["tv"], bitrate_bps=6_000_000),
        play_keys=(digest("watch"), digest("other")),
        owner=digest("customer-1")[:16],
    )
    assert "cam-7" not in repr(found)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("stream", "a b", "stream must be"),
        ("stream", "../etc", "stream must be"),
        ("stream", "x\n", "stream must be"),
        ("stream", 5, "stream must be"),
        ("template", "radio", "template names none"),
        ("template", ["tv"], "template names none"),
        ("limits", {"max_bitrate": "fast"}, "limits.max_bitrate"),
        ("limits", {"max_fsp": 3}, "limits.max_fsp"),
        ("limits", {"max_publishers": 3}, "max_publishers is for an app"),
        ("limits", 5, "limits"),
        ("play_keys", [""], "play_keys must be"),
        ("play_keys", {"a": 1}, "play_keys must be"),
        ("owner", 5, "owner must be"),
        ("cache", -1, "cache must be"),
        ("cache", "1h", "cache must be"),
        ("cache", True, "cache must be"),
    ],
)
def test_what_is_wrong_in_an_answer_makes_it_none_and_is_said(
    field: str, value: Any, says: str
) -> None:
    verdict = judged(200, {"allow": True, field: value}).verdict
    assert verdict.is_allowed is None
    assert says in verdict.detail


def test_the_time_of_an_answer_is_bounded_and_words_steer_no_terminal() -> None:
    assert judged(200, {"allow": True, "cache": 1e12}).cache_s == MAX_CACHE_S
    assert judged(200, {"allow": True}).cache_s is None
    assert judged(200, b'{"allow": true, "cache": NaN}').verdict.is_allowed is None
    words = judged(200, {"allow": False, "reason": "\x1b[2J\n" + "x" * 900}).verdict.words
    assert words.startswith("\\x1b[2J ")
    assert len(words) == 200


@given(st.integers(100, 599), st.binary(max_size=60))
def test_any_bytes_are_an_answer_or_none(status: int, body: bytes) -> None:
    found = judged(status, body)
    assert found.verdict.is_allowed is not True or status in (200, 204)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["allow", "stream", "template", "limits", "cache", "owner", "x"]),
                inner,
            )
        ),
        max_leaves=8,
    )
)
def test_any_json_is_an_answer_or_none(document: Any) -> None:
    judged(200, json.dumps(document).encode())

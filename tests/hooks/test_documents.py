"""hooks/documents.py: what a hook is sent."""

import hashlib
import hmac
import json
from dataclasses import replace

import pytest

from common.config.hooks import HookEvent
from common.ipc.status_messages import Notice
from hooks.documents import SIGNATURE, body_of, failure_of, headers_of, is_final
from tests.kit.hook_events import notice, question


def test_a_question_says_who_wants_what() -> None:
    asked = question(1, query={"user": "a", "x": "\x1b[2J"})
    assert json.loads(body_of(asked, 7, 1_800, 1_900.12345)) == {
        "event": "on_play",
        "sequence": 7,
        "epoch": 1_800,
        "time": 1_900.123,
        "session": "s1",
        "app": "live",
        "stream": "cam1",
        "rendition": "720p",
        "address": "203.0.113.7:5000",
        "protocol": "rtmp",
        "query": {"user": "a", "x": "\x1b[2J"},
    }


def test_a_notice_of_a_viewer_has_what_is_billed() -> None:
    document = json.loads(body_of(notice(), 1, 0, 0.0))
    assert (document["seconds"], document["bytes"]) == (12.5, 3_000)
    assert document["rendition"] == "720p"
    assert document["reason"] == "the player left"
    assert "findings" not in document


@pytest.mark.parametrize("is_low", [False, True])
def test_a_notice_of_quality_says_whether_it_is_low(is_low: bool) -> None:
    told = replace(notice(), event=HookEvent.QUALITY, is_low=is_low, reason="SSIM 0.850")
    document = json.loads(body_of(told, 1, 0, 0.0))
    assert (document["event"], document["is_low"]) == ("quality", is_low)
    assert document["reason"] == "SSIM 0.850"
    assert "is_low" not in json.loads(body_of(notice(), 1, 0, 0.0))


def test_a_notice_of_a_publisher_has_what_the_doctor_found() -> None:
    ended = notice()
    subject = replace(ended.subject, rendition="")
    found = (Notice("long-gop", "keyframes are 8.3 s apart", 1_800.0),)
    ended = replace(ended, event=HookEvent.ON_UNPUBLISH, subject=subject, findings=found)
    document = json.loads(body_of(ended, 1, 0, 0.0))
    assert "rendition" not in document
    assert document["findings"] == [
        {"code": "long-gop", "words": "keyframes are 8.3 s apart", "is_fault": True}
    ]


def test_the_signature_is_of_the_time_and_the_body() -> None:
    body = body_of(question(), 1, 0, 0.0)
    found = headers_of("secret", body, 1_900.9)[SIGNATURE]
    signed = hmac.new(b"secret", b"1900." + body, hashlib.sha256).hexdigest()
    assert found == f"t=1900,sha256={signed}"
    assert headers_of("other", body, 1_900.9)[SIGNATURE] != found
    assert headers_of("secret", body, 1_901.0)[SIGNATURE] != found


@pytest.mark.parametrize(
    ("status", "is_taken", "final"),
    [
        (200, True, False),
        (204, True, False),
        (301, False, True),
        (400, False, True),
        (404, False, True),
        (408, False, False),
        (429, False, False),
        (500, False, False),
        (503, False, False),
    ],
)
def test_which_answers_take_a_notice_and_which_may_later(
    status: int, is_taken: bool, final: bool
) -> None:
    assert (failure_of(status) == "") == is_taken
    assert is_final(status) == final

"""Refusals as HTTP says them."""

import pytest

from common.access.refusal import Refusal, RefusalReason
from common.http.statuses import STATUS, answer_head, refusal_answer


@pytest.mark.parametrize("reason", RefusalReason)
def test_every_reason_has_a_status_and_its_words_are_in_the_body(reason: RefusalReason) -> None:
    head, _, body = refusal_answer(Refusal(reason, "no Ä here"), {"Vary": "Origin"}).partition(
        b"\r\n\r\n"
    )
    first, *lines = head.decode("latin-1").split("\r\n")
    assert first == f"HTTP/1.1 {STATUS[reason].value} {STATUS[reason].phrase}"
    assert 400 <= STATUS[reason] < 600
    assert body.decode() == "no Ä here\n"
    headers = dict(line.split(": ", 1) for line in lines)
    assert headers["Content-Length"] == str(len(body))
    assert headers["Vary"] == "Origin"
    assert headers["Connection"] == "close"
    assert ("Retry-After" in headers) == (STATUS[reason] == 503)


def test_a_header_that_is_given_counts_before_that_of_every_answer() -> None:
    head = answer_head(200, "video/x-flv", {"Cache-Control": "max-age=1"})
    assert head.count(b"Cache-Control") == 1
    assert b"Cache-Control: max-age=1\r\n" in head
    assert head.endswith(b"\r\n\r\n")

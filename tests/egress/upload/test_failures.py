"""egress/upload/failures.py: a server's errors in words for the operator."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress.upload.failures import OTHER, why

ANSWER = (
    "Generic S3 error: Error performing PUT http://h/b/live/secret-key/x.mp4 in 1ms, after 1 "
    "retries - Server returned non-2xx status code: {}: <Error><Code>{}</Code></Error>"
)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ANSWER.format("403 Forbidden", "AccessDenied"), "s3:PutObject"),
        (ANSWER.format("403 Forbidden", "SignatureDoesNotMatch"), "the secret is not the key's"),
        (ANSWER.format("404 Not Found", "NoSuchBucket"), "no such bucket"),
        (ANSWER.format("400 Bad Request", "RequestTimeTooSkewed"), "clock"),
        (ANSWER.format("500 Oh", "InternalError"), "it answers InternalError"),
        ("Server returned non-2xx status code: 502 Bad Gateway: <html>", "it answers HTTP 502"),
        ('ConnectError("tcp connect error", Os { message: "Connection refused" })', "nobody"),
        ("dns error: failed to lookup address information", "no address"),
        ("invalid peer certificate: UnknownIssuer", "ca_file"),
        ("operation timed out", "in time"),
        ("who knows", OTHER),
    ],
)
def test_errors_of_the_library_in_our_words(error: str, words: str) -> None:
    assert words in why(error)


@given(st.text(max_size=400))
def test_nothing_of_an_objects_name_is_taken_over(text: str) -> None:
    found = why(f"Error performing PUT http://h/b/live/secret-key/x.mp4 {text}")
    assert "secret-key" not in found
    assert len(found) < 120

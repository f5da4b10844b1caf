"""ingest/rtmp/publish_address.py: what a publish request asks for."""

import pytest

from common.access.refusal import Refusal, RefusalReason
from common.rtmp.events import PublishRequested
from ingest.rtmp.publish_address import attempt_of
from ingest.streams.admission import PublishAttempt


def request(app: str, name: str) -> PublishRequested:
    return PublishRequested(7, 1, app, f"rtmp://host/{app}", name, "live")


@pytest.mark.parametrize(
    ("app", "name", "attempt"),
    [
        ("live", "cam", PublishAttempt(7, "live", "cam")),
        ("live/cam", "", PublishAttempt(7, "live", "cam")),
        ("live", "cam?key=s", PublishAttempt(7, "live", "cam", "s", query={"key": "s"})),
        ("live", "cam?key=", PublishAttempt(7, "live", "cam", "", query={"key": ""})),
        ("live", "cam?token=k1", PublishAttempt(7, "live", "cam", None, "k1", {"token": "k1"})),
    ],
)
def test_an_address_is_app_and_key_wherever_they_stand(
    app: str, name: str, attempt: PublishAttempt
) -> None:
    assert attempt_of(request(app, name)) == attempt


@pytest.mark.parametrize(("app", "name"), [("live", ""), ("live", "a/b"), ("", "x" * 5000)])
def test_an_address_that_names_no_stream_is_refused(app: str, name: str) -> None:
    refused = attempt_of(request(app, name))
    assert isinstance(refused, Refusal)
    assert refused.reason is RefusalReason.NOT_FOUND


def test_keys_stand_in_no_repr() -> None:
    assert "sesame" not in repr(attempt_of(request("live", "cam?key=sesame")))
    assert "cam" not in repr(attempt_of(request("live", "cam?key=sesame")))
    assert "sesame" not in repr(attempt_of(request("live", "cam?token=sesame")))

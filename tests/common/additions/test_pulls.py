"""common/additions/pulls.py: how a request to fetch a stream is read."""

from typing import Any

import pytest

from common.additions.pulls import pull_arguments, read_pull
from common.config.settings import Pull, RtspTransport

GIVEN = {"app": "live", "key": "door", "url": "rtsp://u:secret@cam.lan/1"}


def test_what_is_written_is_read_again() -> None:
    pull = read_pull(GIVEN | {"rtsp_transport": "udp"})
    url = "rtsp://u:secret@cam.lan/1"
    assert pull == Pull("live", "door", url, RtspTransport.UDP, is_added=True)
    assert read_pull(pull_arguments(pull)) == pull
    assert read_pull(GIVEN).rtsp_transport is RtspTransport.TCP


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("app", None),
        ("app", "a/b"),
        ("key", "a b"),
        ("key", 7),
        ("url", None),
        ("url", "file:///etc/secret"),
        ("url", "/etc/secret"),
        ("url", "concat:http://secret/"),
        ("url", "rtsp://"),
        ("url", "rtsp://secret host/1"),
        ("url", "rtsp://secret\n/1"),
        ("url", "rtmp://secret/app"),
        ("url", "http://secret:99999/a.m3u8"),
        ("url", "http://secret/" + "a" * 1100),
        ("rtsp_transport", "carrier pigeon"),
    ],
)
def test_what_is_wrong_is_named_and_no_url_is_shown(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} must ") as caught:
        read_pull(GIVEN | {name: value})
    assert "secret" not in str(caught.value)

"""common/config/remote_url.py: which URLs are taken, and what of them is shown."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.config.remote_url import (
    PULL_SCHEMES,
    RemoteUrl,
    UrlPattern,
    is_allowed,
    shown_url,
    split_remote,
)

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtmp://u:s3cr3t@h.example/live/s3cr3t", "rtmp://h.example/live/…"),
        ("rtmps://h.example:8443/live/s3cr3t?key=s3cr3t", "rtmps://h.example:8443/live/…"),
        ("rtsp://u:s3cr3t@10.0.0.7:554/stream1", "rtsp://10.0.0.7:554/stream1"),
        ("rtsp://[2001:db8::7]/a/s3cr3t", "rtsp://[2001:db8::7]/a/…"),
        ("https://h.example/a/s3cr3t.m3u8?token=s3cr3t", "https://h.example/a/…"),
        ("http://h.example/index.m3u8?token=s3cr3t", "http://h.example/index.m3u8/…"),
        ("rtsp://h.example", "rtsp://h.example"),
        ("srt://h:9000?streamid=s3cr3t&passphrase=s3cr3t-s3cr3t", "srt://h:9000/…"),
    ],
)
def test_what_is_secret_in_a_url_is_not_shown(url: str, shown: str) -> None:
    assert split_remote(url, PULL_SCHEMES).hostname
    assert shown_url(url) == shown
    assert SECRET not in shown_url(url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("file:///etc/passwd", "must be a URL of rtmp://"),
        ("/etc/passwd", "must be a URL of rtmp://"),
        ("concat:rtsp://h/a", "must be a URL of rtmp://"),
        ("rtsp://", "must have a host"),
        ("rtsp://a..b/c", "must have a host"),
        ("rtsp://h:0/a", "must have a host, and a port"),
        ("rtsp://h:70000/a", "must have a host, and a port"),
        ("rtsp://[::1/a", "must have a host, and a port"),
        ("rtmp://h/live", "must name app and stream"),
        ("rtmp://h/live/", "must name app and stream"),
        ("srt://h?streamid=a", "not an address of SRT"),
        ("srt://h:9000?passphrase=short", "10 to 79 characters"),
        ("srt://h:9000?mode=listener", "mode=caller"),
        ("rtsp://h/a b", "at most 1024 characters"),
        ("rtsp://h/\n", "at most 1024 characters"),
        ("rtsp://h/" + "a" * 1024, "at most 1024 characters"),
    ],
)
def test_what_is_no_such_url_is_refused_with_what_it_must_be(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as raised:
        RemoteUrl(PULL_SCHEMES).read(url)
    assert url not in str(raised.value)


@given(st.text(max_size=60))
def test_any_text_is_taken_or_refused_in_words(text: str) -> None:
    for url in (text, f"rtsp://{text}", f"http://h/{text}"):
        with contextlib.suppress(ValueError):
            split_remote(url, PULL_SCHEMES)
        assert "@" not in shown_url(url).partition("://")[2].partition("/")[0]


@pytest.mark.parametrize(
    ("url", "patterns", "is_good"),
    [
        ("rtsp://cam1.lan/a", ["rtsp://*.lan"], True),
        ("rtsp://cam1.lan:554/a", ["rtsp://*.lan"], True),
        ("rtsp://cam1.lan/a", ["rtsp://*.lan:8554"], False),
        ("rtsp://cam1.lan:8554/a", ["rtsp://*.lan:8554"], True),
        ("rtsps://cam1.lan/a", ["rtsp://*.lan"], False),
        ("rtsp://cam1.lan.evil.example/a", ["rtsp://*.lan"], False),
        ("rtsp://cam1.lan@evil.example/a", ["rtsp://*.lan"], False),
        ("rtsp://CAM1.LAN/a", ["rtsp://cam1.lan"], True),
        ("http://10.0.0.7/a", ["http://10.0.0.*"], False),
        ("http://10.0.0.7/a", ["http://10.0.0.7"], True),
        ("http://10.0.0.7/a", ["http://*"], True),
        ("http://h/a", [], False),
    ],
)
def test_patterns_say_which_urls_may_be_named(url: str, patterns: list[str], is_good: bool) -> None:
    for pattern in patterns:
        UrlPattern(PULL_SCHEMES).read(pattern)
    assert is_allowed(url, patterns) is is_good


@pytest.mark.parametrize("pattern", ["*", "rtsp://h/path", "file://*", "rtsp://h:99999", "", 7])
def test_what_is_no_pattern_is_refused(pattern: object) -> None:
    with pytest.raises(ValueError, match="must "):
        UrlPattern(PULL_SCHEMES).read(pattern)

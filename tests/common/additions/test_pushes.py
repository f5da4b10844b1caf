"""common/additions/pushes.py: how a request to push a rendition is read."""

import pytest

from common.additions.pushes import push_arguments, push_id, read_push, shown_target
from common.config.pushes import PushRule

GIVEN = {"app": "live", "url": "rtmp://h/live/{key}-secret", "rendition": "source", "key": "cam"}


def test_what_is_written_is_read_again() -> None:
    push = read_push(GIVEN)
    assert push.rule == PushRule(GIVEN["url"], "source", ("cam",), is_added=True)
    assert read_push(push_arguments(push)) == push
    of_all = read_push({name: value for name, value in GIVEN.items() if name != "key"})
    assert of_all.rule.keys == ()
    assert read_push(push_arguments(of_all)) == of_all
    assert push.id == push_id("live", PushRule(GIVEN["url"], "source", ("cam",))) != of_all.id


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("app", "a/b"),
        ("key", "a b"),
        ("rendition", ""),
        ("url", ""),
        ("url", "file:///secret"),
        ("url", "http://secret/a"),
        ("url", "rtmp://{key}/live/secret"),
        ("url", "srt://{app}.secret:9000"),
        ("url", "srt://secret"),
    ],
)
def test_what_is_wrong_is_named_and_no_url_is_shown(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} ") as caught:
        read_push(GIVEN | {name: value})
    assert "secret" not in str(caught.value)


def test_no_credential_is_shown() -> None:
    assert shown_target("srt://h:9000?passphrase=secret-secret") == "srt://h:9000"
    assert shown_target("rtmp://u:p@h/live/secret") == "rtmp://h/live/…"

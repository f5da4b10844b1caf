"""common/config/push_values.py: addresses that are pushed to."""

import pytest

from common.config.push_values import PushUrl


def test_places_for_the_stream_may_stand_in_it() -> None:
    url = "srt://h:9000?streamid=publish:{app}/{key}/{rendition}"
    assert PushUrl().read(url) == url


@pytest.mark.parametrize(
    "url", ["rtmp://h/live/{key}", "rtmps://u:p@h:8443/app/{app}-{key}?token=x", "rtmp://[::1]/a/b"]
)
def test_rtmp_servers_are_named_as_players_name_them(url: str) -> None:
    assert PushUrl().read(url) == url


@pytest.mark.parametrize(
    "url", ["rtmp://h/secret", "rtmp:///live/secret", "rtmps://h:0/live/secret"]
)
def test_an_rtmp_address_has_host_app_and_stream(url: str) -> None:
    with pytest.raises(ValueError, match=r"^must ") as refused:
        PushUrl().read(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "value", [3, "", "srt://h", "h:9000", "srt://h:9?passphrase=secret", "x" * 1025]
)
def test_others_are_refused_and_not_shown(value: object) -> None:
    with pytest.raises(ValueError, match=r"\w") as refused:
        PushUrl().read(value)
    assert "secret" not in str(refused.value)

"""common/config/pushes.py: which streams a push takes, and where each goes."""

from common.config.pushes import PushRule


def test_each_stream_has_an_address_of_its_own() -> None:
    rule = PushRule("srt://h:9?streamid=publish:{app}/{key}&x={rendition}", "720p")
    assert rule.url_of("live", "a&b") == "srt://h:9?streamid=publish:live/a%26b&x=720p"
    assert rule.takes("any")


def test_one_for_some_streams_takes_no_others_and_shows_no_address() -> None:
    rule = PushRule("srt://h:9?passphrase=0123456789", "720p", ("cam1",))
    assert rule.takes("cam1")
    assert not rule.takes("cam2")
    assert "0123456789" not in repr(rule)

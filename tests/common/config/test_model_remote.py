"""common/config/model_remote.py: the tables of what is pulled, with their faults by key path."""

import pytest

from common.config.load import parse
from common.config.settings import Pull, RtspTransport
from common.errors import ConfigError

ONE = {"app": "live", "key": "door", "url": "rtsp://u:s3cr3t@camera/1"}


def test_what_is_pulled_is_read() -> None:
    settings = parse({"pull": [ONE, {**ONE, "key": "yard", "rtsp_transport": "udp"}]})
    assert settings.pulls == (
        Pull("live", "door", "rtsp://u:s3cr3t@camera/1"),
        Pull("live", "yard", "rtsp://u:s3cr3t@camera/1", RtspTransport.UDP),
    )
    assert settings.pulls[0].stream_id == "live/door"
    assert "s3cr3t" not in repr(settings)


@pytest.mark.parametrize(
    ("tables", "fault"),
    [
        ([{**ONE, "url": "file:///etc/s3cr3t"}], "pull[0].url: must be a URL of rtmp://"),
        ([{**ONE, "app": "tv"}], 'pull[0].app: there is no app "tv"'),
        ([ONE, ONE], "pull[1].key: is the stream of pull[0]"),
        ([{**ONE, "key": "a/b"}], "pull[0].key: must be 1 to 128 letters"),
        ([{**ONE, "rtsp_transport": "sctp"}], 'pull[0].rtsp_transport: must be one of "tcp"'),
        ([{"app": "live", "key": "a"}], "pull[0].url: is missing"),
        ([{**ONE, "ulr": 1}], "pull[0].ulr: is no known key"),
    ],
)
def test_each_fault_has_its_path_and_shows_no_secret(tables: list[object], fault: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse({"pull": tables})
    words = [str(one) for one in raised.value.faults]
    assert [one for one in words if one.startswith(fault)], words
    assert not any("s3cr3t" in one for one in words)

"""Requests to fetch a stream from another server: read, and written. Pure."""

from collections.abc import Mapping

from common.config.key_values import StreamKey
from common.config.remote_url import PULL_SCHEMES, RemoteUrl
from common.config.settings import Pull, RtspTransport
from common.config.values import Choice, Kind, Name

_KINDS: Mapping[str, Kind] = {
    "app": Name(),
    "key": StreamKey(),
    "url": RemoteUrl(PULL_SCHEMES),
    "rtsp_transport": Choice(RtspTransport),
}


def read_pull(given: Mapping[str, object]) -> Pull:
    """The pull that a request asks for: `app`, `key`, `url` and, perhaps, `rtsp_transport`.

    Raises:
        ValueError: one of them is missing or wrong; the words name it, and hold nothing of a URL.
    """
    found = {}
    for name, kind in _KINDS.items():
        value = given.get(name, str(RtspTransport.TCP) if name == "rtsp_transport" else None)
        try:
            found[name] = kind.read(value)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None
    return Pull(**found, is_added=True)


def pull_arguments(pull: Pull) -> dict[str, str]:
    """What `read_pull` reads."""
    return {
        "app": pull.app,
        "key": pull.key,
        "url": pull.url,
        "rtsp_transport": str(pull.rtsp_transport),
    }

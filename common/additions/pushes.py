"""Requests to send renditions to another server: read, and written. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from common.config.key_values import StreamKey
from common.config.push_values import PushUrl
from common.config.pushes import PushRule
from common.config.remote_url import shown_url
from common.config.values import Kind, Name
from common.srt.address import SCHEME

ID_CHARS = 16
_KINDS: Mapping[str, Kind] = {
    "app": Name(),
    "url": PushUrl(),
    "rendition": Name(),
    "key": StreamKey(),
}


@dataclass(frozen=True, slots=True)
class AddedPush:
    """A rule that a request added to an app's."""

    app: str
    rule: PushRule

    @property
    def id(self) -> str:
        """What it is called by."""
        return push_id(self.app, self.rule)


def push_id(app: str, rule: PushRule) -> str:
    """What a push of an app is called by; nothing of it can be read from that."""
    text = "\n".join((app, rule.rendition, *rule.keys, rule.url))
    return hashlib.sha256(text.encode()).hexdigest()[:ID_CHARS]


def shown_target(url: str) -> str:
    """What people may see of whom a push calls."""
    return shown_url(url.partition("?")[0] if url.startswith(f"{SCHEME}:") else url)


def read_push(given: Mapping[str, object]) -> AddedPush:
    """The push that a request asks for: `app`, `url`, `rendition` and, perhaps, `key`.

    Raises:
        ValueError: one of them is missing or wrong; the words name it, and hold nothing of a URL.
    """
    found = {}
    for name, kind in _KINDS.items():
        if name == "key" and not given.get(name):
            continue
        try:
            found[name] = kind.read(given.get(name))
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None
    if "{" in (urlsplit(found["url"]).hostname or ""):  # which host that is, no pattern could say
        raise ValueError("url must have a host in which nothing stands for the stream's own")
    keys = (found["key"],) if "key" in found else ()
    return AddedPush(found["app"], PushRule(found["url"], found["rendition"], keys, True))


def push_arguments(push: AddedPush) -> dict[str, str]:
    """What `read_push` reads."""
    rule = push.rule
    found = {"app": push.app, "url": rule.url, "rendition": rule.rendition}
    return found | ({"key": rule.keys[0]} if rule.keys else {})

"""Where a template's streams are sent to: others' servers. Pure values."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

PLACES: Final = ("{app}", "{key}", "{rendition}")  # of an address, which stand for a stream's own


@dataclass(frozen=True, slots=True)
class PushRule:
    """One rendition of an app's streams to one address each."""

    url: str = field(repr=False)  # it may hold credentials, and `PLACES`
    rendition: str
    keys: tuple[str, ...] = ()  # of the streams; empty: of all
    is_added: bool = False  # by a request, and not by the configuration

    def takes(self, key: str) -> bool:
        """Whether a stream of the app is sent."""
        return not self.keys or key in self.keys

    def url_of(self, app: str, key: str) -> str:
        """The address for one stream."""
        return filled(self.url, (app, key, self.rendition))


def filled(url: str, values: Sequence[str]) -> str:
    """An address with its places filled by app, key and rendition."""
    for place, value in zip(PLACES, values, strict=True):
        url = url.replace(place, quote(value, safe=""))
    return url

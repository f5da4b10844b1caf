"""How a configuration file writes where streams are pushed to. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from common.config.pushes import PLACES, filled
from common.config.remote_url import RTMP_SCHEMES, check_rtmp
from common.config.values import Json, Kind
from common.errors import AddressError
from common.srt import address as srt_address

MAX_URL_CHARS: Final = 1024
# By scheme what reads an address, or raises AddressError. A protocol is a line here, and one in
# `egress/push/targets.py`.
SCHEMES: Final[Mapping[str, Callable[[str], object]]] = {
    srt_address.SCHEME: srt_address.parse,
    **dict.fromkeys(RTMP_SCHEMES, check_rtmp),
}
_STARTS: Final = " or ".join(f"{scheme}://" for scheme in SCHEMES)


class PushUrl(Kind):
    """An address with credentials in it: no problem shows it."""

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= MAX_URL_CHARS:
            raise ValueError(f"must be an address of 1 to {MAX_URL_CHARS} characters")
        parse = SCHEMES.get(value.partition("://")[0])
        if parse is None:
            raise ValueError(f"must begin with {_STARTS}")
        try:
            parse(filled(value, ("app", "key", "rendition")))
        except AddressError as error:
            raise ValueError(str(error)) from None
        return value

    def range(self) -> str:
        return f"{_STARTS}…, which may hold {', '.join(PLACES)}"

    def schema(self) -> Json:
        starts = "|".join(SCHEMES)
        return {"type": "string", "maxLength": MAX_URL_CHARS, "pattern": f"^(?:{starts})://"}

"""The protocols by which renditions are pushed: one table.

To add one: a class with the methods of `Target` (`egress/push/push.py`), a line here, and one in
`common/config/push_values.py`, which checks addresses.
"""

from collections.abc import Callable, Mapping
from typing import Final

from common.config.remote_url import RTMP_SCHEMES, shown_url
from common.errors import AddressError
from common.srt import address as srt_address
from egress.push.push import Target
from egress.push.rtmp_target import RtmpCalls
from egress.push.srt_target import SrtCalls
from egress.push.target_context import TargetContext
from egress.streams.rendition import Rendition

# Makes the caller of a protocol: one a process, made when it is first needed.
CallUrl = Callable[[str, Rendition], Target]
CALLERS: Final[Mapping[str, Callable[[TargetContext], CallUrl]]] = {
    srt_address.SCHEME: lambda context: SrtCalls(context).call,
    **dict.fromkeys(RTMP_SCHEMES, lambda context: RtmpCalls(context).call),
}
# What of an address people are shown.
_SHOWN: Final[Mapping[str, Callable[[str], str]]] = {
    srt_address.SCHEME: lambda url: srt_address.parse(url).shown,
    **dict.fromkeys(RTMP_SCHEMES, shown_url),
}


def scheme_of(url: str) -> str:
    """Which protocol an address is of."""
    return url.partition("://")[0]


def shown(url: str) -> str:
    """An address without credentials."""
    try:
        return _SHOWN[scheme_of(url)](url)
    except (AddressError, KeyError):
        return f"{scheme_of(url)}://"

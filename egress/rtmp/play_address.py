"""What an RTMP play request asks for: its address, judged by the rules for all outputs. Pure."""

from common.access.refusal import Cause, Refusal, RefusalReason
from common.errors import AddressError
from common.rtmp.address import parse_play
from egress.access import Wish


def wish_of(app: str, tc_url: str, name: str) -> Wish | Refusal:
    """What the address of a play request asks for, or why it cannot be served."""
    try:
        address = parse_play(app, tc_url, name)
    except AddressError as error:
        return Refusal(RefusalReason.NOT_FOUND, str(error), cause=Cause.BAD_ADDRESS)
    return Wish(address.app, address.key, address.rendition or "", address.query)

"""What an RTMP play request asks for: its address, judged by the rules for all outputs. Pure."""

from common.access.refusal import Cause, Refusal, RefusalReason
from common.config.settings import Settings
from common.errors import AddressError
from common.ipc.identity import stream_id
from common.process.log import key_hash, stream_label
from common.rtmp.address import parse_play
from egress.access import Wish


def wish_of(app: str, tc_url: str, name: str) -> Wish | Refusal:
    """What the address of a play request asks for, or why it cannot be served."""
    try:
        address = parse_play(app, tc_url, name)
    except AddressError as error:
        return Refusal(RefusalReason.NOT_FOUND, str(error), cause=Cause.BAD_ADDRESS)
    return Wish(address.app, address.key, address.rendition or "", address.query)


def label_of(settings: Settings, app: str, tc_url: str, name: str) -> str:
    """What the log calls the stream of a request; "" where it names none.

    What stands in the place of an app that is not there may be a key: people leave the app out.
    """
    try:
        address = parse_play(app, tc_url, name)
    except AddressError:
        return ""
    if settings.template(address.app) is None:
        return f"{key_hash(address.app)}/{key_hash(address.key)}"
    return stream_label(stream_id(address.app, address.key))

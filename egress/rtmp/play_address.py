"""What an RTMP play request asks for: its address, judged by the rules for all outputs. Pure."""

from common.access.refusal import Refusal, RefusalReason
from common.config.settings import Settings
from common.errors import AddressError
from common.rtmp.address import parse_play
from egress.access import PlayWanted, judge


def judge_address(settings: Settings, app: str, tc_url: str, name: str) -> PlayWanted | Refusal:
    """Grant a play request what its address asks for, or refuse it."""
    try:
        address = parse_play(app, tc_url, name)
    except AddressError as error:
        return Refusal(RefusalReason.NOT_FOUND, str(error))
    return judge(settings, address.app, address.key, address.rendition, address.query)

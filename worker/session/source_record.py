"""What a sequence header's record says of the source. Pure."""

from common.codecs.h264 import AvcConfig, SpsInfo, parse_sps
from common.errors import DecodeFailed


def read_record(record: bytes) -> tuple[AvcConfig, SpsInfo]:
    """The configuration and its first SPS. Raises AvcError, DecodeFailed."""
    config = AvcConfig.parse(record)
    if not config.sps:
        raise DecodeFailed("the sequence header holds no SPS")
    return config, parse_sps(config.sps[0])

"""What a configuration record says of the source. Pure."""

from dataclasses import dataclass

from common.codecs.h264 import AvcConfig, SpsInfo, parse_sps
from common.errors import DecodeFailed


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """A source's configuration, as devices open for it."""

    record: bytes
    config: AvcConfig
    sps: SpsInfo


def read_record(record: bytes) -> SourceRecord:
    """Parse the record and its first SPS. Raises AvcError, DecodeFailed."""
    config = AvcConfig.parse(record)
    if not config.sps:
        raise DecodeFailed("the sequence header holds no SPS")
    return SourceRecord(record, config, parse_sps(config.sps[0]))

"""Records of sequence headers: what can be served and what can't."""

import pytest

from common.codecs.h264 import AvcConfig
from common.errors import AvcError, DecodeFailed
from tests.kit.session_driver import SourceSpec, make_source
from worker.devices.source import read_source


def test_a_record_gives_its_configuration_and_the_sources_size() -> None:
    record = make_source(SourceSpec(frames=1)).record
    source = read_source(record)
    assert source.record == record
    assert source.config == AvcConfig.parse(record)
    assert (source.format.width, source.format.height) == (320, 180)
    assert source.size == "320x180"
    assert source.samples == 320 * 180
    assert source.length_size == 4
    assert source.fps == source.format.fps == 30


def test_a_record_without_sps_cannot_be_decoded() -> None:
    with pytest.raises(DecodeFailed, match="no SPS"):
        read_source(b"\x01\x4d\x00\x1f\xff\xe0\x00")


@pytest.mark.parametrize("record", [b"", b"\x01", b"\x01\x4d\x00\x1f\xff\xe1\x00\x02\x67\x4d\x00"])
def test_a_record_that_cannot_be_read_is_the_publishers_mistake(record: bytes) -> None:
    with pytest.raises(AvcError):
        read_source(record)

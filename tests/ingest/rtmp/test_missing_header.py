"""What AAC without its header is taken for; test_audio_input.py has the table, by messages."""

from common.codecs.aac import AudioSpecificConfig
from ingest.rtmp.missing_header import WAIT_S, WAIT_UNDECLARED_S, MissingHeader

RAW = b"\x21\x10\x04\x60\x8c\x1c"


def test_it_waits_longer_where_nothing_is_declared() -> None:
    for members, wait_s in (({}, WAIT_UNDECLARED_S), ({"audiosamplerate": 8000.0}, WAIT_S)):
        missing = MissingHeader()
        missing.declare(dict(members))
        assert missing.wait(0, RAW, 100.0)
        assert missing.wait(0, RAW, 100.0 + wait_s - 0.01)
        assert not missing.wait(0, RAW, 100.0 + wait_s)


def test_stamps_that_do_not_run_with_the_clock_tell_no_rate() -> None:
    missing = MissingHeader()
    for number in range(60):  # 48 kHz, by a clock that runs 1.0884 times as fast
        missing.wait(round(number * 1024 / 44.1), RAW, 100.0 + number * 0.001)
    assert AudioSpecificConfig.parse(missing.make()).sample_rate == 44_100
    missing = MissingHeader()
    for number in range(60):  # in microseconds
        missing.wait(number * 21_333, RAW, 100.0 + number * 0.021333)
    assert AudioSpecificConfig.parse(missing.make()).sample_rate == 44_100


def test_times_that_wrap_are_measured_too() -> None:
    missing = MissingHeader()
    for number in range(60):
        at_s = number * 1024 / 48_000
        missing.wait(round(4_294_967_000 + at_s * 1000) % 2**32, RAW, 100.0 + at_s)
    assert AudioSpecificConfig.parse(missing.make()).sample_rate == 48_000

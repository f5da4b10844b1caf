"""A decoder that takes everything and gives nothing."""

from worker.frames.picture_silence import SILENT_S, SILENT_UNITS, PictureSilence


def feed(silence: PictureSilence, units: int, from_s: float, step_s: float) -> float:
    for index in range(units):
        silence.decoded(0, from_s + index * step_s)
    return from_s + (units - 1) * step_s


def test_many_units_over_a_long_time_without_a_picture_are_too_long() -> None:
    silence = PictureSilence()
    end_s = feed(silence, SILENT_UNITS, 100.0, 2 * SILENT_S / SILENT_UNITS)
    assert silence.is_too_long(end_s)
    assert silence.units == SILENT_UNITS


def test_many_units_at_once_are_not_too_long_yet() -> None:
    silence = PictureSilence()
    end_s = feed(silence, 2 * SILENT_UNITS, 100.0, 0.001)
    assert not silence.is_too_long(end_s)
    assert silence.is_too_long(100.0 + SILENT_S)


def test_few_units_over_a_long_time_are_not_too_long() -> None:
    silence = PictureSilence()
    end_s = feed(silence, SILENT_UNITS - 1, 100.0, SILENT_S)
    assert not silence.is_too_long(end_s)


def test_a_picture_begins_the_count_anew() -> None:
    silence = PictureSilence()
    end_s = feed(silence, SILENT_UNITS, 100.0, SILENT_S)
    silence.decoded(1, end_s)
    assert silence.units == 0
    assert not silence.is_too_long(end_s)


def test_an_error_is_a_sign_of_life() -> None:
    silence = PictureSilence()
    end_s = feed(silence, SILENT_UNITS, 100.0, SILENT_S)
    silence.error(end_s)
    end_s = feed(silence, SILENT_UNITS, end_s, 0.001)
    assert not silence.is_too_long(end_s)

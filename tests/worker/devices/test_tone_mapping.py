"""worker/devices/tone_mapping.py: the curves, at the values that their standards name."""

from dataclasses import replace

import numpy as np
import pytest

from common.media.units import Colour
from tests.kit.coded_video import PLAIN_PICTURES
from worker.devices.tone_mapping import (
    BT709,
    BT2020,
    HLG,
    PEAK_NITS,
    PQ,
    TO_709,
    WHITE_NITS,
    colour_table,
    compressed,
    hlg_to_nits,
    needs_mapping,
    nits_to_pq,
    pq_to_nits,
    shown_format,
    to_sdr,
)

SDR = replace(PLAIN_PICTURES, colour_primaries=1, colour_transfer=1, colour_matrix=1)


@pytest.mark.parametrize(
    ("nits", "signal"),
    [(0.0, 0.0), (100.0, 0.508), (203.0, 0.581), (1000.0, 0.752), (10_000.0, 1.0)],
)
def test_pq_is_as_bt2408_has_it(nits: float, signal: float) -> None:
    assert float(nits_to_pq(np.array(nits))) == pytest.approx(signal, abs=0.001)
    assert float(pq_to_nits(nits_to_pq(np.array(nits)))) == pytest.approx(nits, abs=1e-6)


@pytest.mark.parametrize(("signal", "nits"), [(0.0, 0.0), (0.75, 203.0), (1.0, 1000.0)])
def test_hlg_is_as_bt2408_has_it(signal: float, nits: float) -> None:
    (grey,) = hlg_to_nits(np.full((1, 3), signal))
    assert grey == pytest.approx(np.full(3, nits), abs=1.0)


def test_what_is_dark_stays_and_what_is_bright_ends_at_white() -> None:
    nits = np.array([0.0, 1.0, 50.0, 85.0, 203.0, PEAK_NITS, 4000.0])
    found = compressed(nits)
    assert found[:4] == pytest.approx(nits[:4], rel=1e-6, abs=1e-6)
    assert 120 < found[4] < WHITE_NITS
    assert found[5:] == pytest.approx(WHITE_NITS, rel=1e-6)
    many = compressed(np.linspace(0, PEAK_NITS, 1000))
    assert (np.diff(many) > 0).all()


@pytest.mark.parametrize("transfer", [PQ, HLG, BT709])
def test_grey_stays_grey_and_grows(transfer: int) -> None:
    greys = np.linspace(0, 1, 100)[:, None].repeat(3, axis=1)
    found = to_sdr(greys, transfer)
    assert np.ptp(found, axis=1).max() < 1e-4
    assert (np.diff(found[:, 1]) >= 0).all()
    assert found[0] == pytest.approx(0.0)
    assert found[-1] == pytest.approx(1.0, abs=1e-4)


def test_colours_of_bt709_come_back_from_bt2020() -> None:
    generator = np.random.default_rng(3)
    wanted = generator.uniform(0, 1, (100, 3))
    in_2020 = (wanted**2.4) @ np.linalg.inv(np.array(TO_709)).T
    assert to_sdr(in_2020 ** (1 / 2.4), BT709) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    ("primaries", "transfer", "is_needed"),
    [(9, 16, True), (9, 18, True), (9, 14, True), (1, 16, True), (1, 1, False), (2, 2, False)],
)
def test_what_renditions_cannot_show_is_mapped(
    primaries: int, transfer: int, is_needed: bool
) -> None:
    pictures = replace(SDR, colour_primaries=primaries, colour_transfer=transfer, bit_depth=10)
    assert needs_mapping(pictures) == is_needed
    shown = shown_format(pictures)
    assert (shown.bit_depth, shown.bits_per_pixel) == (8, 12)
    assert (shown.width, shown.fps, shown.sar) == (pictures.width, pictures.fps, pictures.sar)
    wanted = Colour(1, 1, 1) if is_needed else pictures.colour
    assert shown.colour == wanted


def test_the_table_holds_the_curves_values() -> None:
    table = colour_table(5, PQ)
    rgb = np.array([0.25, 0.5, 0.75])
    assert table[3, 2, 1] == pytest.approx(to_sdr(rgb, PQ))
    assert BT2020 == 9

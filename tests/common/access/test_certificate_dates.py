"""The dates of a certificate: those that openssl wrote, and of any bytes none."""

import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.access.certificate_dates import Validity, validity
from tests.kit.certificates import make

DAY = 86_400.0


@pytest.mark.parametrize(("kind", "days"), [("ec", 90), ("rsa", 13), ("ec", 36_500)])
def test_the_dates_are_those_that_it_was_made_with(tmp_path: Path, kind: str, days: int) -> None:
    now = datetime.now(UTC).timestamp()
    found = validity(make(tmp_path, kind=kind, days=days).certificate.read_bytes())
    assert found.until - found.since == days * DAY
    assert abs(found.since - now) < 60
    assert bool(found.complaint(now)) == (days < 14)


def test_the_first_of_a_chain_counts(tmp_path: Path) -> None:
    long, short = make(tmp_path, "long", days=400), make(tmp_path, "short", days=3)
    chain = b"words\n" + short.certificate.read_bytes() + long.certificate.read_bytes()
    assert validity(chain) == validity(short.certificate.read_bytes())


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (-1.0, "is not valid before 1970-01-01"),
        (0.0, ""),
        (86 * DAY - 1, ""),
        (86 * DAY + 1, "ends on 1970-04-11, in 13 days"),
        (99 * DAY - 1, "ends on 1970-04-11, in 1 day"),
        (100 * DAY, "ended on 1970-04-11"),
    ],
)
def test_what_is_wrong_with_it_is_said_two_weeks_before(now: float, words: str) -> None:
    assert Validity(0.0, 100 * DAY).complaint(now) == words


def pem(der: bytes) -> bytes:
    body = base64.encodebytes(der)
    return b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n"


def test_a_certificate_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    text = make(tmp_path).certificate.read_text()
    der = base64.b64decode("".join(text.splitlines()[1:-1]))
    for size in range(len(der)):
        with pytest.raises(ValueError, match=r"certificate"):
            validity(pem(der[:size]))


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    for text in (data, pem(data), pem(b"\x30\x84" + data)):
        with pytest.raises(ValueError):  # noqa: PT011
            validity(text)

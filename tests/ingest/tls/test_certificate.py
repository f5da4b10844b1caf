"""The certificate's files: used when they change, kept when they cannot be used."""

import logging
import os
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from common.errors import BootFailed
from ingest.tls.certificate import Certificate
from tests.kit.certificates import Files, make

NOW = time.time() + 60


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Files, Files]:
    directory = tmp_path_factory.mktemp("made")
    return make(directory, "one"), make(directory, "two", "rsa")


@pytest.fixture
def files(tmp_path: Path, made: tuple[Files, Files]) -> Files:
    files = Files(tmp_path / "chain.pem", tmp_path / "key.pem")
    files.replace(made[0])
    return files


def test_a_change_is_used_once_the_files_are_steady(
    files: Files, made: tuple[Files, Files]
) -> None:
    certificate = Certificate(files.certificate, files.key)
    first = certificate.context
    certificate.check(NOW)
    certificate.check(NOW)
    assert certificate.context is first, "nothing has changed"
    files.replace(made[1])
    certificate.check(NOW)
    assert certificate.context is first, "who replaces two files is perhaps not done"
    certificate.check(NOW)
    assert certificate.context is not first


def test_a_certificate_whose_key_comes_later_is_used_with_its_key(
    files: Files, made: tuple[Files, Files], caplog: pytest.LogCaptureFixture
) -> None:
    certificate = Certificate(files.certificate, files.key)
    first = certificate.context
    files.certificate.write_bytes(made[1].certificate.read_bytes())
    for _ in range(4):
        certificate.check(NOW)
    assert certificate.context is first
    (line,) = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert "the one before stays" in line
    assert "does not fit the certificate" in line
    files.key.write_bytes(made[1].key.read_bytes())
    certificate.check(NOW)
    certificate.check(NOW)
    assert certificate.context is not first


def test_files_that_are_away_change_nothing(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    certificate = Certificate(files.certificate, files.key)
    first = certificate.context
    os.unlink(files.key)
    for _ in range(3):
        certificate.check(NOW)
    certificate.load()
    assert certificate.context is first
    assert f"{files.key}: No such file or directory" in caplog.text


def test_one_that_ends_soon_is_named_once_a_day(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = make(tmp_path, "soon", days=15)
    certificate = Certificate(files.certificate, files.key)
    now = time.time() + 60
    for hours in range(0, 15 * 24, 2):
        certificate.check(now + hours * 3600)
    lines = [record.message for record in caplog.records]
    assert len(lines) == 14
    assert " ends on " in lines[0]
    assert ", in 13 days" in lines[0]


def test_one_file_may_hold_both(tmp_path: Path, made: tuple[Files, Files]) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(made[0].certificate.read_bytes() + made[0].key.read_bytes())
    assert Certificate(both, both).context.minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("certificate", "key", "words"),
    [
        ("one.pem", "two.key", "the key .* does not fit the certificate"),
        ("one.pem", "three.key", "the key .* does not fit the certificate"),
        ("none.pem", "one.key", "none.pem: No such file"),
        ("one.pem", "none.key", "none.key: No such file"),
        ("one.key", "one.key", "one.key has no certificate in PEM form"),
        ("one.pem", "one.pem", "one.pem has no private key in PEM form"),
        ("one.pem", "locked.key", "has a password"),
        (".", "one.key", "Is a directory"),
    ],
)
def test_what_cannot_be_used_is_named_at_the_start(
    made: tuple[Files, Files], certificate: str, key: str, words: str
) -> None:
    directory = made[0].key.parent
    if not (directory / "three.key").exists():
        make(directory, "three")
    locked = directory / "locked.key"
    if not locked.exists():
        options = ["-in", str(made[0].key), "-aes256", "-passout", "pass:x", "-out", str(locked)]
        subprocess.run(["openssl", "pkey", *options], check=True, capture_output=True)
    with pytest.raises(BootFailed, match=words):
        Certificate(directory / certificate, directory / key)

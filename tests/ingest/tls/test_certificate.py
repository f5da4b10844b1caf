"""The certificate's files: used when they change, kept when they cannot be used."""

import contextlib
import logging
import os
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from common.errors import BootFailed
from common.process.certificate import Certificate
from ingest.tls.certificate import Certificates, for_name
from tests.kit.certificates import Files, make, trusting

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


NAMED = {"a.example": "a", "*.example": "any", "*.b.example": "b", "localhost": "local"}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.example", "a"),
        ("A.Example", "a"),
        ("a.example.", "a"),
        ("c.example", "any"),
        ("x.b.example", "b"),
        ("x.y.b.example", None),
        ("b.example", "any"),
        ("example", None),
        ("localhost", "local"),
        ("", None),
        (".", None),
        ("*.example", "any"),
    ],
)
def test_a_name_has_its_own_certificate_or_that_of_its_domain(name: str, found: str | None) -> None:
    assert for_name(NAMED, name) == found


def both(directory: Path, of: Files) -> Path:
    """One file with certificate and key."""
    file = directory / f"both-{of.certificate.name}"
    file.write_bytes(of.certificate.read_bytes() + of.key.read_bytes())
    return file


def shown_for(certificates: Certificates, name: str | None) -> bytes:
    """The certificate that a client gets which asks for a name; without a socket."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting().wrap_bio(to_client, to_server, server_hostname=name)
    server = certificates.context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return client.getpeercert(binary_form=True) or b""


def test_clients_are_shown_the_certificate_of_the_name_that_they_ask_for(
    files: Files, made: tuple[Files, Files], tmp_path: Path
) -> None:
    other = both(tmp_path, made[1])
    certificates = Certificates(files.certificate, files.key, {"*.other.example": other})
    assert shown_for(certificates, "cam.other.example") == made[1].der()
    for name in ("first.example", None):
        assert shown_for(certificates, name) == made[0].der()
    other.write_bytes(both(tmp_path, made[0]).read_bytes())
    files.replace(made[1])
    for _ in range(3):
        certificates.check(NOW)
    assert shown_for(certificates, "cam.other.example") == made[0].der()
    assert shown_for(certificates, None) == made[1].der()


def test_one_that_cannot_be_used_for_another_name_is_named_at_the_start(
    files: Files, tmp_path: Path
) -> None:
    with pytest.raises(BootFailed, match=r"none\.pem: No such file"):
        Certificates(files.certificate, files.key, {"a.example": tmp_path / "none.pem"})

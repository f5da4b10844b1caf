"""egress/upload/bucket.py: files in a bucket, in parts, and what goes wrong."""

import time
from pathlib import Path

import pytest

from common.config.recording import Upload
from egress.upload.bucket import Bucket, GivenUp, UploadFailed, credentials_of
from egress.upload.credentials import Credentials
from egress.upload.objects import PART_BYTES
from tests.kit.object_store import BUCKET, KEY_ID, SECRET, ObjectStore

GOOD = Credentials(KEY_ID, SECRET)
NAME = "farm/live/a%2Fb/source/x.mp4"


def upload_to(store: ObjectStore, **keys: object) -> Upload:
    return Upload(BUCKET, store.url, **keys)  # type: ignore[arg-type]


def file_of(tmp_path: Path, size: int) -> Path:
    path = tmp_path / "x.mp4"
    path.write_bytes(bytes(range(256)) * (size // 256))
    return path


def never() -> bool:
    return False


def ignore(sent: int) -> None:
    """How far it is does not matter."""


@pytest.mark.parametrize("size", [0, 1 << 20, PART_BYTES, 2 * PART_BYTES + 256])
def test_a_file_comes_whole_however_many_parts_it_has(tmp_path: Path, size: int) -> None:
    path, sent = file_of(tmp_path, size), [0]
    with ObjectStore() as store:
        Bucket(upload_to(store), GOOD).send(path, NAME, sent.append, never)
    assert store.objects == {NAME: path.read_bytes()}
    assert store.types == {NAME: "video/mp4"}
    assert sent[-1] == size
    assert not store.open


def test_one_that_is_given_up_leaves_no_part_behind(tmp_path: Path) -> None:
    path, sent = file_of(tmp_path, 4 * PART_BYTES), [0]
    with ObjectStore() as store:
        bucket = Bucket(upload_to(store), GOOD)
        with pytest.raises(GivenUp):
            bucket.send(path, NAME, sent.append, lambda: sent[-1] > 2 * PART_BYTES)
    assert not store.objects
    assert (store.open, store.aborted) == ({}, 1)


@pytest.mark.parametrize("size", [256, 2 * PART_BYTES])
@pytest.mark.parametrize(
    ("answer", "words"), [((403, "AccessDenied"), "PutObject"), ((404, "NoSuchBucket"), "no such")]
)
def test_a_server_that_refuses_is_quoted_in_our_words(
    tmp_path: Path, size: int, answer: tuple[int, str], words: str
) -> None:
    path = file_of(tmp_path, size)
    with ObjectStore() as store:
        store.failing = answer
        with pytest.raises(UploadFailed, match=words) as raised:
            Bucket(upload_to(store), GOOD).send(path, NAME, ignore, never)
    assert "a%2Fb" not in str(raised.value)


def test_nobody_listens_or_the_key_is_another(tmp_path: Path) -> None:
    path = file_of(tmp_path, 256)
    with ObjectStore() as store:
        with pytest.raises(UploadFailed, match="does not know the key"):
            Bucket(upload_to(store), Credentials("OTHER", "s")).send(path, NAME, ignore, never)
        gone = upload_to(store)
    with pytest.raises(UploadFailed, match="nobody listens"):
        Bucket(gone, GOOD).send(path, NAME, ignore, never)


def test_a_file_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    with ObjectStore() as store, pytest.raises(FileNotFoundError):
        Bucket(upload_to(store), GOOD).send(tmp_path / "y.mp4", NAME, ignore, never)


def test_no_faster_than_the_rate(tmp_path: Path) -> None:
    path = file_of(tmp_path, 3 << 20)
    with ObjectStore() as store:
        began = time.monotonic()
        Bucket(upload_to(store, rate_bps=80_000_000), GOOD).send(path, NAME, ignore, never)
        took_s = time.monotonic() - began
    assert took_s >= 2 * 8 * (1 << 20) / 80e6  # the last piece may go at once


def test_credentials_are_of_the_file_or_else_of_the_environment(tmp_path: Path) -> None:
    assert credentials_of(Upload("b"), GOOD) is GOOD
    with pytest.raises(UploadFailed, match="set `credentials`"):
        credentials_of(Upload("b"), None)
    file = tmp_path / "credentials"
    upload = Upload("b", credentials_file=str(file))
    with pytest.raises(UploadFailed, match="No such file"):
        credentials_of(upload, GOOD)
    file.write_text("[default]\naws_access_key_id=a\naws_secret_access_key=b\n")
    assert credentials_of(upload, None) == Credentials("a", "b")
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(UploadFailed, match="is no text"):
        credentials_of(upload, None)


def test_a_certificate_file_that_is_none_is_said_to_be(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    for words in ("ca_file cannot be read", "not good"):
        with pytest.raises(UploadFailed, match=words):
            Bucket(Upload("b", "https://h", ca_file=str(file)), GOOD)
        file.write_text("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")

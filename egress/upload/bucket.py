"""One bucket (IO): a file goes there in parts, of which few are in memory at a time.

Runs in threads. The library is Apache Arrow's `object_store` in Rust, so that hashing, TLS and the
network hold no lock of Python's. An upload that fails, or that is given up, is aborted.
"""

import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from common.config.recording import Upload
from egress.upload.credentials import MAX_BYTES, Credentials, parse
from egress.upload.failures import why
from egress.upload.objects import PART_BYTES, at_once, part_bytes

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config

PIECE_BYTES: Final = 1 << 20  # that are read at a time
NAP_S: Final = 0.2
CONNECT_S: Final = 10
REQUEST_S: Final = 600  # for a part: 8 MiB in it are 110 kbit/s
RETRIES: Final = 2  # of a request, by the library
RETRY_S: Final = 30
TYPE: Final = "video/mp4"
NO_CREDENTIALS: Final = (
    "there are no credentials: set `credentials`, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
)


class UploadFailed(Exception):
    """A file was not taken; why, in words for the operator."""


class GivenUp(Exception):
    """The process ends."""


def credentials_of(upload: Upload, environment: Credentials | None) -> Credentials:
    """Who signs, as the file says just now.

    Raises:
        UploadFailed: there are none.
    """
    if not upload.credentials_file:
        if environment is None:
            raise UploadFailed(NO_CREDENTIALS)
        return environment
    try:
        with Path(upload.credentials_file).open(encoding="utf-8") as file:
            return parse(file.read(MAX_BYTES))
    except OSError as error:
        raise UploadFailed(f"credentials cannot be read: {error.strerror}") from None
    except ValueError as error:  # UnicodeDecodeError, too
        words = "is no text" if isinstance(error, UnicodeError) else str(error)
        raise UploadFailed(f"the file of `credentials` {words}") from None


class Bucket:
    """Sends files to one."""

    def __init__(self, upload: Upload, credentials: Credentials) -> None:
        """Open it; nothing is sent yet.

        Raises:
            UploadFailed: the library does not take what is configured.
        """
        self._upload = upload
        options: ClientConfig = {
            "allow_http": upload.url.startswith("http:"),
            "connect_timeout": timedelta(seconds=CONNECT_S),
            "timeout": timedelta(seconds=REQUEST_S),
            "user_agent": "tfarm",
        }
        try:
            if upload.ca_file:
                options["root_certificate"] = Path(upload.ca_file).read_bytes()
            self._store = S3Store(
                upload.bucket,
                config=_config(upload, credentials),
                client_options=options,
                retry_config={
                    "max_retries": RETRIES,
                    "retry_timeout": timedelta(seconds=RETRY_S),
                },
            )
        except OSError as error:
            raise UploadFailed(f"ca_file cannot be read: {error.strerror}") from None
        except (BaseError, ValueError, TypeError):
            raise UploadFailed("its keys, or `ca_file`, are not good") from None

    def send(
        self, path: Path, name: str, on_sent: Callable[[int], None], is_over: Callable[[], bool]
    ) -> None:
        """Copy a file; `on_sent` is told how many bytes of it have left the disk.

        Raises:
            FileNotFoundError: it is not there any more.
            UploadFailed: it was not taken.
            GivenUp: `is_over` became true.
        """
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            size = os.fstat(fd).st_size
            pieces = self._pieces(fd, on_sent, is_over)
            if size <= PART_BYTES:
                self.put(name, b"".join(pieces))
            else:
                self._put_parts(name, pieces, part_bytes(size))
        finally:
            os.close(fd)

    def put(self, name: str, data: bytes) -> None:
        """Write an object in one request. Raises UploadFailed."""
        try:
            obstore.put(
                self._store, name, data, attributes={"Content-Type": TYPE}, use_multipart=False
            )
        except (BaseError, OSError) as error:
            raise UploadFailed(why(str(error))) from None

    def remove(self, name: str) -> None:
        """Remove an object. Raises UploadFailed."""
        try:
            obstore.delete(self._store, name)
        except (BaseError, OSError) as error:
            raise UploadFailed(why(str(error))) from None

    # ---- inside -------------------------------------------------------------------------------

    def _put_parts(self, name: str, pieces: Iterator[bytes], part: int) -> None:
        try:
            obstore.put(
                self._store,
                name,
                pieces,
                attributes={"Content-Type": TYPE},
                use_multipart=True,
                chunk_size=part,
                max_concurrency=at_once(part),
            )
        except (BaseError, OSError) as error:
            raise UploadFailed(why(str(error))) from None

    def _pieces(
        self, fd: int, on_sent: Callable[[int], None], is_over: Callable[[], bool]
    ) -> Iterator[bytes]:
        """The file's bytes, no faster than the rate."""
        rate, sent, begun_s = self._upload.rate_bps, 0, time.monotonic()
        while data := os.read(fd, PIECE_BYTES):
            while not is_over() and rate and (ahead_s := _ahead_s(sent, rate, begun_s)) > 0:
                time.sleep(min(NAP_S, ahead_s))
            if is_over():
                raise GivenUp
            sent += len(data)
            on_sent(sent)
            yield data


def _ahead_s(sent: int, rate_bps: int, begun_s: float) -> float:
    return sent * 8 / rate_bps - (time.monotonic() - begun_s)


def _config(upload: Upload, credentials: Credentials) -> "S3Config":
    found: S3Config = {
        "endpoint": _endpoint(upload),
        "region": upload.region,
        "access_key_id": credentials.key_id,
        "secret_access_key": credentials.secret,
        "virtual_hosted_style_request": not upload.is_path_style,
        "disable_bulk_delete": True,  # some servers do not have it
    }
    if credentials.token:
        found["session_token"] = credentials.token
    return found


def _endpoint(upload: Upload) -> str:
    """Whom the library calls: with the bucket in front of the host, it wants the whole name."""
    if upload.is_path_style:
        return upload.url
    scheme, host = urlsplit(upload.url)[:2]
    return f"{scheme}://{upload.bucket}.{host}"

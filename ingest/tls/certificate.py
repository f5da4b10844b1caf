"""The certificates, as they lie in their files (IO): read again when they change, or when asked to.

A client names the host that it wants as its handshake begins (SNI, RFC 6066 section 3); who names
none, or one that nobody knows, is shown the first certificate.

Connections that stand keep what they began with; each new handshake takes the newest. Files that
cannot be used change nothing, and the log says why.
"""

import contextlib
import logging
import os
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from common.errors import BootFailed
from common.process.certificate_files import dates, new_context, why_not

log = logging.getLogger("tfarm.ingest.tls.certificate")

WARN_S: Final = 86_400.0  # between two lines about a certificate that ends soon
Signature = tuple[tuple[int, int, int], ...]  # inode, size, mtime of each file


T = TypeVar("T")
OnName = Callable[[ssl.SSLObject, str, ssl.SSLContext], None]


class Certificates:
    """The one of `tls.certificate`, and those for other names."""

    def __init__(self, certificate: Path, key: Path, named: Mapping[str, Path]) -> None:
        """`named` are files with both, by name. Raises BootFailed where some cannot be used."""
        self._named = {name: Certificate(file, file) for name, file in named.items()}
        self._first = Certificate(certificate, key, self._on_name if named else None)

    @property
    def context(self) -> ssl.SSLContext:
        """That with which a new handshake begins."""
        return self._first.context

    def check(self, now_unix: float) -> None:
        """Use files that have changed; to be called once a second."""
        for certificate in (self._first, *self._named.values()):
            certificate.check(now_unix)

    def load(self) -> None:
        """Use all files as they are now, or say why not."""
        for certificate in (self._first, *self._named.values()):
            certificate.load()

    def _on_name(self, client: ssl.SSLObject, name: str, _: ssl.SSLContext) -> None:
        found = for_name(self._named, name or "")  # None: the client names none
        if found is not None:
            client.context = found.context


def for_name(named: Mapping[str, T], name: str) -> T | None:
    """What is for a host's name: its own, else that of `*.` and all but its first part."""
    name = name.lower().removesuffix(".")
    return named.get(name) or named.get(f"*.{name.partition('.')[2]}")


class Certificate:
    """One, as the context of handshakes."""

    def __init__(self, certificate: Path, key: Path, on_name: OnName | None = None) -> None:
        """`on_name` is called with the name that a client asks for.

        Raises BootFailed where the files cannot be used.
        """
        self._on_name = on_name
        self._files = (certificate, key)
        self._loaded = self._looked = self._signature()
        self._warned_unix = 0.0
        try:
            self.context = self._new_context()
        except (OSError, ValueError) as error:
            raise BootFailed(why_not(error, certificate, key)) from error

    def check(self, now_unix: float) -> None:
        """Use the files if they have changed; to be called once a second.

        They are read once they have not changed for a second: who replaces two files does one
        after the other.
        """
        signature = self._signature()
        is_steady = signature == self._looked
        self._looked = signature
        if is_steady and signature != self._loaded:
            self.load()
        if now_unix - self._warned_unix >= WARN_S:
            self._warned_unix = now_unix
            self._warn(now_unix)

    def load(self) -> None:
        """Use the files as they are now, or say why not."""
        self._loaded = self._looked = self._signature()
        try:
            self.context = self._new_context()
        except (OSError, ValueError) as error:
            why = why_not(error, *self._files)
            log.error("certificate not loaded, the one before stays reason=%s", why)
        else:
            log.info("certificate loaded file=%s", self._files[0])
            self._warned_unix = 0.0

    def _new_context(self) -> ssl.SSLContext:
        context = new_context(*self._files)
        context.sni_callback = self._on_name
        return context

    def _warn(self, now_unix: float) -> None:
        with contextlib.suppress(OSError, ValueError):  # of files that are not used yet
            complaint = dates(self._files[0]).complaint(now_unix)
            if complaint:
                log.warning(
                    "certificate to be renewed file=%s reason=%s", self._files[0], f"it {complaint}"
                )

    def _signature(self) -> Signature:
        found = []
        for file in self._files:
            with contextlib.suppress(OSError):
                status = os.stat(file)
                found.append((status.st_ino, status.st_size, status.st_mtime_ns))
        return tuple(found)

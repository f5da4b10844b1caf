"""A certificate as it lies in its files (IO): read again when they change, or when asked to.

Connections that stand keep what they began with; each new handshake takes the newest. Files that
cannot be used change nothing, and the log says why.
"""

import contextlib
import logging
import os
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from common.errors import BootFailed
from common.process.certificate_files import dates, new_context, why_not

log = logging.getLogger("tfarm.common.process.certificate")

WARN_S: Final = 86_400.0  # between two lines about a certificate that ends soon
Signature = tuple[tuple[int, int, int], ...]  # inode, size, mtime of each file
Contexts = Sequence[ssl.SSLContext]


class Certificate:
    """One, as the contexts of handshakes."""

    def __init__(
        self,
        certificate: Path,
        key: Path,
        *more: Path,
        make: Callable[[], Contexts] | None = None,
    ) -> None:
        """`make` reads the files, these and `more`, into contexts; None: that of a server.

        Raises BootFailed where the files cannot be used.
        """
        self._make = make or (lambda: (new_context(certificate, key),))
        self._files = (certificate, key)
        self._looked_at = (*self._files, *more)
        self._loaded = self._looked = self._signature()
        self._warned_unix = 0.0
        try:
            self.contexts = self._make()
        except (OSError, ValueError) as error:
            raise BootFailed(why_not(error, *self._looked_at)) from error

    @property
    def context(self) -> ssl.SSLContext:
        """That with which a new handshake begins, where there is one alone."""
        return self.contexts[0]

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
            self.contexts = self._make()
        except (OSError, ValueError) as error:
            why = why_not(error, *self._looked_at)
            log.error("certificate not loaded, the one before stays reason=%s", why)
        else:
            log.info("certificate loaded file=%s", self._files[0])
            self._warned_unix = 0.0

    def _warn(self, now_unix: float) -> None:
        with contextlib.suppress(OSError, ValueError):  # of files that are not used yet
            complaint = dates(self._files[0]).complaint(now_unix)
            if complaint:
                log.warning(
                    "certificate to be renewed file=%s reason=%s", self._files[0], f"it {complaint}"
                )

    def _signature(self) -> Signature:
        found = []
        for file in self._looked_at:
            with contextlib.suppress(OSError):
                status = os.stat(file)
                found.append((status.st_ino, status.st_size, status.st_mtime_ns))
        return tuple(found)

"""The certificates that clients are shown, one for each name that they ask for (IO).

A client names the host that it wants as its handshake begins (SNI, RFC 6066 section 3); who names
none, or one that nobody knows, is shown the first certificate.
"""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from common.process.certificate import Certificate
from common.process.certificate_files import new_context

T = TypeVar("T")


class Certificates:
    """The one of `tls.certificate`, and those for other names."""

    def __init__(self, certificate: Path, key: Path, named: Mapping[str, Path]) -> None:
        """`named` are files with both, by name. Raises BootFailed where some cannot be used."""
        self._named = {name: Certificate(file, file) for name, file in named.items()}

        def first() -> tuple[ssl.SSLContext]:
            context = new_context(certificate, key)
            context.sni_callback = self._on_name if named else None
            return (context,)

        self._first = Certificate(certificate, key, make=first)

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

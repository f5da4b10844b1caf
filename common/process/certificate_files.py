"""A certificate and its key, from their files (IO), and what is wrong with them in words."""

import contextlib
import ssl
from pathlib import Path
from typing import Final

from common.access.certificate_dates import Validity, validity

MAX_FILE_BYTES: Final = 1024 * 1024
# OpenSSL's reasons: of one kind, of two kinds (RSA, EC, …)
_DO_NOT_FIT: Final = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")


def new_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Read the files for TLS 1.2 and later, without renegotiation.

    Raises:
        OSError: a file cannot be read, or is not what it should be (`ssl.SSLError`).
        ValueError: the key has a password.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.load_cert_chain(certificate, key, _no_password)
    return context


def mutual_contexts(
    certificate: Path, key: Path, trusted: Path
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Read the files for TLS 1.3 between equals: the contexts to serve and to connect with.

    Each demands a certificate of the other that is `trusted`; who connects, one with the name of
    the host that it means. Raises as `new_context`.
    """
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    connecting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for context in (serving, connecting):
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(certificate, key, _no_password)
        context.load_verify_locations(trusted)
    serving.num_tickets = 0  # a connection lasts; without tickets none is written to who only sends
    return serving, connecting


def why_not(error: OSError | ValueError, certificate: Path, key: Path, *more: Path) -> str:
    """Say what is wrong with the files, in words; `more` are other certificates."""
    if not isinstance(error, ssl.SSLError):
        for file in (certificate, key, *more):
            try:
                file.open("rb").close()
            except OSError as cannot:
                return f"{file}: {cannot.strerror}"
        return str(error)
    others = [(file, "CERTIFICATE") for file in more]
    for file, what in ((certificate, "CERTIFICATE"), (key, "PRIVATE KEY"), *others):
        with contextlib.suppress(OSError), file.open("rb") as content:
            if f"{what}-----".encode() not in content.read(MAX_FILE_BYTES):
                return f"{file} has no {what.lower()} in PEM form"
    if error.reason in _DO_NOT_FIT:
        return f"the key {key} does not fit the certificate {certificate}"
    reason = (error.reason or str(error)).lower().replace("_", " ")
    return f"{certificate}, {key}: {reason}"


def _no_password() -> str:
    raise ValueError("the key has a password (tls.key): store it without one")


def dates(certificate: Path) -> Validity:
    """From when to when a certificate is valid.

    Raises:
        OSError: the file cannot be read.
        ValueError: there is no certificate in it.
    """
    with certificate.open("rb") as content:
        return validity(content.read(MAX_FILE_BYTES))

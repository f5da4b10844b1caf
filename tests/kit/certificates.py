"""Certificates for tests, made by the openssl command; and TLS as our own clients begin it."""

import socket
import ssl
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.rtmp.blocking_client import Prepare

KINDS = {
    "ec": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "rsa": ["-newkey", "rsa:2048"],
}


@dataclass(frozen=True)
class Files:
    """A certificate that signs itself, for 127.0.0.1 and localhost."""

    certificate: Path
    key: Path

    def replace(self, other: "Files") -> None:
        """Put the other one's content in their place, as renewals do: each file at once."""
        for here, there in ((self.key, other.key), (self.certificate, other.certificate)):
            beside = here.with_suffix(".new")
            beside.write_bytes(there.read_bytes())
            beside.replace(here)

    def der(self) -> bytes:
        return ssl.PEM_cert_to_DER_cert(self.certificate.read_text())


def make(
    directory: Path, name: str = "farm", kind: str = "ec", days: int = 90, more: Sequence[str] = ()
) -> Files:
    """Make the files in a directory, which is made if it is not there."""
    directory.mkdir(parents=True, exist_ok=True)
    files = Files(directory / f"{name}.pem", directory / f"{name}.key")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-noenc", *KINDS[kind], "-subj", f"/CN={name}"),
            *("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-days", str(days)),
            *("-keyout", str(files.key), "-out", str(files.certificate), *more),
        ],
        check=True,
        capture_output=True,
    )
    return files


class Authority:
    """A CA that hosts of a cluster have their certificates from."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        self.directory = directory
        self.files = make(directory, name)

    def issue(self, host: str, file_name: str = "") -> Files:
        """Make a certificate with a host's name, for servers and clients."""
        name = file_name or host
        files = Files(self.directory / f"{name}.pem", self.directory / f"{name}.key")
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-noenc", *KINDS["ec"], "-subj", f"/CN={host}"),
                *("-CA", str(self.files.certificate), "-CAkey", str(self.files.key)),
                *("-addext", f"subjectAltName=DNS:{host}", "-days", "90"),
                *("-addext", "basicConstraints=critical,CA:FALSE"),
                *("-keyout", str(files.key), "-out", str(files.certificate)),
            ],
            check=True,
            capture_output=True,
        )
        return files


def trusting(files: Files | None = None) -> ssl.SSLContext:
    """A client's context: it trusts this certificate alone; without one, any."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if files is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(files.certificate)
    return context


def tls(context: ssl.SSLContext, before: bytes = b"") -> Prepare:
    """Have a client send `before`, and begin TLS."""

    def prepare(sock: socket.socket) -> socket.socket:
        sock.sendall(before)
        return context.wrap_socket(sock, server_hostname="127.0.0.1")

    return prepare


def shown(port: int, context: ssl.SSLContext | None = None, name: str = "127.0.0.1") -> bytes:
    """The certificate that a server shows for a name, as DER; OSError also where TLS failed."""
    with (
        socket.create_connection(("127.0.0.1", port), 5) as sock,
        (context or trusting()).wrap_socket(sock, server_hostname=name) as client,
    ):
        return client.getpeercert(binary_form=True) or b""

"""What is wrong with a host of a cluster before it is one (IO): its files, etcd, its address.

Certificates are tried as they are used: in a handshake of this host with itself, which both its
relay's ends must agree to. No clock of another host matters, so none is asked for.
"""

import contextlib
import http.client
import json
import socket
import ssl
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from common.cluster.digest import secret_of
from common.config.settings import ClusterSettings
from common.process.certificate_files import dates, mutual_contexts, new_context, why_not

TIMEOUT_S: Final = 3.0
OLDEST_ETCD: Final = (3, 4)
MAX_BYTES: Final = 64 * 1024
MAX_STEPS: Final = 16  # of a handshake


@dataclass(frozen=True, slots=True)
class ClusterFindings:
    """What was found."""

    versions: tuple[str, ...] = ()  # of the members of etcd that answer
    problems: tuple[str, ...] = ()  # in words, with what to do


def examine_cluster(
    cluster: ClusterSettings, now_unix: float, *, is_farm_running: bool
) -> ClusterFindings:
    """Look at all of it."""
    problems = list(file_problems(cluster, now_unix))
    versions = []
    if not problems or not any(url.startswith("https:") for url in cluster.etcd):
        for url in cluster.etcd:
            version, problem = _look_at(url, cluster)
            if problem:
                problems.append(f"etcd {url}: {problem}")
            if version:
                versions.append(version)
    problems += _address_problems(cluster, is_farm_running)
    return ClusterFindings(tuple(versions), tuple(problems))


def file_problems(cluster: ClusterSettings, now_unix: float) -> Iterator[str]:
    """What is wrong with its files, or will be in two weeks."""
    yield from filter(None, [_secret_problem(Path(cluster.secret_file))])
    if cluster.etcd_password_file:
        yield from filter(None, [_read_problem(Path(cluster.etcd_password_file))])
    pairs = {(cluster.etcd_cert, cluster.etcd_key), (cluster.cert, cluster.key)}
    for certificate, key in sorted(pairs):
        if certificate:
            yield from filter(None, [_pair_problem(Path(certificate), Path(key), now_unix)])
    for file in sorted({cluster.etcd_ca, cluster.ca}):
        if file:
            yield from filter(None, [_ca_problem(Path(file), now_unix)])
    if cluster.has_relay:
        yield from filter(None, [_handshake_problem(cluster)])


# ---- inside -----------------------------------------------------------------------------------


def _read_problem(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            if stat.S_IMODE(file.stat().st_mode) & stat.S_IROTH:
                return f"everybody on this host can read {file}: chmod o= it"
            opened.read(MAX_BYTES)
    except OSError as error:
        return f"{file}: {error.strerror}"
    return ""


def _secret_problem(file: Path) -> str:
    if problem := _read_problem(file):
        return problem
    try:
        secret_of(file.read_bytes()[:MAX_BYTES])
    except ValueError as error:
        return f"{file} {error}"
    return ""


def _pair_problem(certificate: Path, key: Path, now_unix: float) -> str:
    try:
        new_context(certificate, key)
        complaint = dates(certificate).complaint(now_unix)
    except (OSError, ValueError) as error:
        return why_not(error, certificate, key)
    return f"the certificate {certificate} {complaint}: make another one" if complaint else ""


def _ca_problem(file: Path, now_unix: float) -> str:
    try:
        ssl.create_default_context(cafile=str(file))
        complaint = dates(file).complaint(now_unix)
    except ssl.SSLError:
        return f"{file} has no certificate in PEM form"
    except (OSError, ValueError) as error:
        return f"{file}: {getattr(error, 'strerror', None) or error}"
    return f"the CA {file} {complaint}: make another one" if complaint else ""


def _handshake_problem(cluster: ClusterSettings) -> str:
    """Why other hosts would not believe that this one is who it says; "": they will."""
    try:
        serving, connecting = mutual_contexts(
            Path(cluster.cert), Path(cluster.key), Path(cluster.ca)
        )
    except (OSError, ValueError):
        return ""  # it is said of the file
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    client = connecting.wrap_bio(to_client, to_server, server_hostname=cluster.host)
    try:
        for _ in range(MAX_STEPS):
            for end in (client, server):
                with contextlib.suppress(ssl.SSLWantReadError):
                    end.do_handshake()
    except ssl.SSLCertVerificationError as error:
        return f"{cluster.cert} will not do for the host {cluster.host}: {error.verify_message}"
    except ssl.SSLError as error:
        return f"{cluster.cert} will not do for the host {cluster.host}: {error.reason}"
    return ""


def _address_problems(cluster: ClusterSettings, is_farm_running: bool) -> Iterator[str]:
    if not cluster.has_relay:
        return
    host, _, port = cluster.relay_shown.rpartition(":")
    host = host.strip("[]")
    try:
        socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    except OSError:
        yield (
            f"other hosts are told {cluster.relay_shown}, which has no address here: "
            "set cluster.relay_address, or have the name resolve"
        )
        return
    if is_farm_running and int(port):
        try:
            socket.create_connection((host, int(port)), TIMEOUT_S).close()
        except OSError as error:
            yield f"other hosts are told {cluster.relay_shown}: {error.strerror or error}"


def _look_at(url: str, cluster: ClusterSettings) -> tuple[str, str]:
    """A member's version, and what is wrong with it."""
    where = urlsplit(url)
    host, port = where.hostname or "", where.port or 2379
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    if where.scheme == "https":
        context = ssl.create_default_context(cafile=cluster.etcd_ca or None)
        if cluster.etcd_cert:
            context.load_cert_chain(cluster.etcd_cert, cluster.etcd_key)
        connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)
    try:
        connection.request("POST", "/v3/maintenance/status", b"{}")
        answer = connection.getresponse()
        body = answer.read(MAX_BYTES)
    except ssl.SSLError as error:
        return "", getattr(error, "verify_message", "") or (error.reason or "no TLS")
    except (OSError, http.client.HTTPException) as error:
        return "", getattr(error, "strerror", None) or type(error).__name__
    finally:
        connection.close()
    if b"CommonName" in body:
        return "", "it refuses a certificate that has a common name, beside a user"
    return _version(body)


def _version(body: bytes) -> tuple[str, str]:
    try:
        document = json.loads(body)
        version = str(document["version"])[:20]
        number = tuple(map(int, version.split(".")[:2]))
    except (ValueError, LookupError, TypeError, RecursionError):
        return "", "what answers is no etcd with a JSON gateway at /v3"
    if number < OLDEST_ETCD:
        return version, f"version {version} is too old: 3.4 or later"
    if not document.get("leader", "0").strip("0"):
        return version, "it has no leader: fewer than half of the members answer"
    return version, ""

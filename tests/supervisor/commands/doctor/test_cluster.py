"""supervisor/commands/doctor/cluster.py, with certificates of a CA and a real etcd."""

import json
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from common.config.settings import ClusterSettings
from supervisor.commands.doctor.cluster import _version, examine_cluster, file_problems
from tests.kit.certificates import Authority, make
from tests.kit.etcd import Etcd, needs_etcd

DAY_S = 86_400.0


def host(folder: Path, name: str = "media1") -> ClusterSettings:
    """A good one."""
    authority = Authority(folder)
    authority.issue(name)
    secret = folder / "secret"
    secret.write_text("0123456789abcdef\n")
    secret.chmod(0o600)
    cert, key, ca = (str(folder / file) for file in (f"{name}.pem", f"{name}.key", "ca.pem"))
    return ClusterSettings(
        "studio", name, str(secret), ("http://127.0.0.1:1",), cert=cert, key=key, ca=ca
    )


def problems(cluster: ClusterSettings, days: float = 0.0) -> list[str]:
    return list(file_problems(cluster, time.time() + days * DAY_S))


def test_good_files_have_no_problem(tmp_path: Path) -> None:
    assert problems(host(tmp_path)) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c, f: replace(c, host="media2"), "will not do for the host media2: Hostname mism"),
        (lambda c, f: replace(c, secret_file="/none"), "/none: No such file"),
        (lambda c, f: replace(c, key=c.ca), "has no private key in PEM form"),
        (lambda c, f: replace(c, ca=c.key), "has no certificate in PEM form"),
        (lambda c, f: replace(c, ca="/none"), "/none: No such file"),
        (lambda c, f: replace(c, etcd_password_file="/none"), "/none: No such file"),
        (
            lambda c, f: replace(c, ca=str(make(f / "other").certificate)),
            "will not do for the host media1: unable to get local issuer certificate",
        ),
        (
            lambda c, f: replace(c, etcd_cert=c.cert, etcd_key=c.ca),
            "has no private key in PEM form",
        ),
    ],
)
def test_what_other_hosts_would_refuse_is_said_before_they_do(
    change: Callable[[ClusterSettings, Path], ClusterSettings], words: str, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    found = problems(change(host(tmp_path), tmp_path))
    assert any(words in one for one in found), found


def test_a_secret_that_is_short_or_open_is_said(tmp_path: Path) -> None:
    cluster = host(tmp_path)
    secret = Path(cluster.secret_file)
    secret.write_text("short")
    assert "must have 16 to 4096 bytes" in problems(cluster)[0]
    secret.chmod(0o644)
    assert problems(cluster) == [f"everybody on this host can read {secret}: chmod o= it"]


def test_certificates_that_end_soon_are_said(tmp_path: Path) -> None:
    cluster = host(tmp_path)
    found = problems(cluster, days=100_000)
    assert any(f"the certificate {cluster.cert} ended on" in one for one in found)
    assert any(f"the CA {cluster.ca} ended on" in one for one in found)


def test_an_address_that_others_cannot_reach_is_said(tmp_path: Path) -> None:
    cluster = replace(host(tmp_path), relay_address="no.such.name.invalid:1936")
    found = examine_cluster(cluster, time.time(), is_farm_running=False)
    assert any("set cluster.relay_address" in one for one in found.problems)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    cluster = replace(cluster, relay_address=f"127.0.0.1:{port}")
    found = examine_cluster(cluster, time.time(), is_farm_running=True)
    assert f"other hosts are told 127.0.0.1:{port}: Connection refused" in found.problems
    assert any(one.startswith("etcd http://127.0.0.1:1: ") for one in found.problems)
    assert found.versions == ()


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"version": "3.4.23", "leader": "77"}, ""),
        ({"version": "3.6.0-rc.1", "leader": "77"}, ""),
        ({"version": "3.3.25", "leader": "77"}, "version 3.3.25 is too old: 3.4 or later"),
        ({"version": "3.5.1"}, "it has no leader: fewer than half of the members answer"),
        ({"version": "no"}, "what answers is no etcd with a JSON gateway at /v3"),
        ([], "what answers is no etcd with a JSON gateway at /v3"),
        ("<html>", "what answers is no etcd with a JSON gateway at /v3"),
    ],
)
def test_a_members_version_and_its_leader(answer: object, problem: str) -> None:
    assert _version(json.dumps(answer).encode())[1] == problem


@needs_etcd
def test_a_real_member_is_well(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    with Etcd(tmp_path) as etcd:
        cluster = replace(host(tmp_path / "files"), etcd=tuple(etcd.urls))
        cluster = replace(cluster, relay_address="127.0.0.1:1936")
        found = examine_cluster(cluster, time.time(), is_farm_running=False)
    assert (found.versions, found.problems) == (("3.4.23",), ())

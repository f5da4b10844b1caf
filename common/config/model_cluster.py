"""The configuration file's table of a farm that is one of several hosts. Pure."""

from typing import Annotated, Any, ClassVar

from common.config.cluster_values import ClusterHost, ConnectAddress, EtcdUrl
from common.config.keys import Holds, Table, key
from common.config.settings import ClusterSettings
from common.config.values import Json, ListenAddress, Name, Seconds, Text

RESTART = Holds.RESTART
_FOLDER = "/etc/tfarm/cluster"


def _file(setting: str, words: str, file_name: str, default: str = "none") -> Any:
    return key(
        ClusterSettings, setting, words, RESTART, default=default, example=f"{_FOLDER}/{file_name}"
    )


class ClusterTable(Table):
    """`[cluster]`."""

    title: ClassVar[str] = "this farm as one of several hosts, by etcd"

    schema_rules: ClassVar[Json] = {
        "dependentRequired": {
            "name": ["secret_file", "etcd"],
            "secret_file": ["name"],
            "etcd": ["name"],
            "etcd_cert": ["etcd_key"],
            "etcd_key": ["etcd_cert"],
            "etcd_user": ["etcd_password_file"],
            "etcd_password_file": ["etcd_user"],
            "cert": ["name", "key", "ca"],
            "key": ["cert", "ca"],
            "ca": ["cert", "key"],
        }
    }

    name: Annotated[str, Name()] = key(
        ClusterSettings,
        "name",
        "the cluster's name, the same at all its hosts; with it this host is one of a cluster",
        RESTART,
        default="none, this host is alone",
        example="studio",
    )
    host: Annotated[str, ClusterHost()] = key(
        ClusterSettings,
        "host",
        "this host's name in the cluster, which no other host may have",
        RESTART,
        default="the host's own name",
        example="media1",
    )
    secret_file: Annotated[str, Text()] = _file(
        "secret_file",
        "a file with the cluster's secret, 16 bytes or more, the same at all hosts: what names "
        "streams in etcd is made with it. An absolute path; needed with `name`",
        "secret",
    )
    etcd: tuple[Annotated[str, EtcdUrl()], ...] = key(
        ClusterSettings,
        "etcd",
        "the client URLs of etcd's members, all of them; needed with `name`",
        RESTART,
        default="none",
        example=["https://etcd1:2379", "https://etcd2:2379", "https://etcd3:2379"],
        schema={"maxItems": 9, "uniqueItems": True},
    )
    etcd_ca: Annotated[str, Text()] = _file(
        "etcd_ca",
        "PEM file of the certificates that etcd's members are trusted by",
        "etcd-ca.pem",
        "those of the system",
    )
    etcd_cert: Annotated[str, Text()] = _file(
        "etcd_cert", "PEM file with the certificate that etcd is shown", "etcd-client.pem"
    )
    etcd_key: Annotated[str, Text()] = _file(
        "etcd_key", "PEM file with the private key of `etcd_cert`", "etcd-client-key.pem"
    )
    etcd_user: Annotated[str, Text()] = key(
        ClusterSettings,
        "etcd_user",
        "the user that etcd is told, where it wants one; needs `etcd_password_file`",
        RESTART,
        default="none",
        example="tfarm",
    )
    etcd_password_file: Annotated[str, Text()] = _file(
        "etcd_password_file", "a file with that user's password", "etcd-password"
    )
    ttl: Annotated[float, Seconds(5, 60)] = key(
        ClusterSettings,
        "ttl_s",
        "a host that etcd has not heard for this long is gone for the others, and its streams may "
        "be published elsewhere",
        RESTART,
    )
    keep: Annotated[float, Seconds(4, 600)] = key(
        ClusterSettings,
        "keep_s",
        "how long a stream of another host still comes after its last player here",
        Holds.NOW,
    )
    relay: Annotated[Any, ListenAddress()] = key(
        ClusterSettings, "relay", "where other hosts connect for media, by TLS", RESTART
    )
    relay_address: Annotated[str, ConnectAddress()] = key(
        ClusterSettings,
        "relay_address",
        "the address of that which other hosts are told",
        RESTART,
        default="`host` with the port of `relay`",
        example="10.0.0.7:1936",
    )
    cert: Annotated[str, Text()] = _file(
        "cert",
        "PEM file with the certificate that other hosts are shown; its name is `host`. Without it "
        "no media crosses between hosts",
        "host.pem",
    )
    key: Annotated[str, Text()] = _file(
        "key", "PEM file with the private key of `cert`", "host-key.pem"
    )
    ca: Annotated[str, Text()] = _file(
        "ca", "PEM file of the certificates that other hosts are trusted by", "ca.pem"
    )

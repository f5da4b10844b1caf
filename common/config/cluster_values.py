"""How a configuration file writes where a cluster's hosts and etcd's members are. Pure."""

import re
from typing import Any
from urllib.parse import urlsplit

from common.config.values import Json, Kind, whole
from common.host_names import can_be_looked_up

_PORT = "(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_ADDRESS = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):" + _PORT)
_URL = re.compile("https?://" + _ADDRESS.pattern)
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")


def _is_host(pattern: re.Pattern[str], value: str) -> bool:
    """Tell if it has this form, and a host that can be looked up."""
    if not pattern.fullmatch(value):
        return False
    return can_be_looked_up(urlsplit(f"//{value.rpartition('//')[2]}").hostname or "")


class EtcdUrl(Kind):
    """The address of a member of etcd, for clients."""

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or not _is_host(_URL, value.rstrip("/")):
            raise ValueError(
                'must be a member\'s client URL, such as "https://etcd1.example.org:2379", '
                "without user and path, with a port from 1 to 65535"
            )
        return value.rstrip("/")

    def range(self) -> str:
        return "`http://HOST:PORT` or `https://HOST:PORT`"

    def schema(self) -> Json:
        return {"type": "string", "pattern": f"^(?:{_URL.pattern})/?$"}


class ClusterHost(Kind):
    """The name of a host in a cluster."""

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or not _HOST.fullmatch(value):
            raise ValueError(
                "must be a host's name: 1 to 63 letters, digits, dots and -, "
                "a letter or digit at both ends"
            )
        return value

    def range(self) -> str:
        return "1 to 63 letters, digits, dots and -"

    def schema(self) -> Json:
        return {"type": "string", "pattern": whole(_HOST)}


class ConnectAddress(Kind):
    """HOST:PORT that others connect to; an IPv6 host in brackets."""

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or not _is_host(_ADDRESS, value):
            raise ValueError(
                'must be HOST:PORT, such as "10.0.0.7:1936", with a port from 1 to 65535'
            )
        return value

    def range(self) -> str:
        return "HOST:PORT, an IPv6 host in brackets"

    def schema(self) -> Json:
        return {"type": "string", "pattern": whole(_ADDRESS)}

"""common/config/cluster_values.py; the words of bad values are in test_load.py's table."""

import re

import pytest

from common.config.cluster_values import ClusterHost, ConnectAddress, EtcdUrl
from common.config.values import Kind

GOOD = [
    (EtcdUrl(), "http://127.0.0.1:2379"),
    (EtcdUrl(), "https://etcd-1.example.org:2379"),
    (EtcdUrl(), "https://[2001:db8::1]:2379"),
    (ClusterHost(), "media1"),
    (ClusterHost(), "m"),
    (ClusterHost(), "media1.example.org"),
    (ConnectAddress(), "10.0.0.7:1936"),
    (ConnectAddress(), "[2001:db8::1]:1936"),
]
BAD = [
    (EtcdUrl(), "ftp://e:1"),
    (EtcdUrl(), "http://e"),
    (EtcdUrl(), "http://e:1/v3"),
    (EtcdUrl(), "http://u@e:1"),
    (EtcdUrl(), "http://e:1?a"),
    (EtcdUrl(), "http://a..b:2379"),
    (EtcdUrl(), 7),
    (ClusterHost(), ""),
    (ClusterHost(), "a/b"),
    (ClusterHost(), "a b"),
    (ClusterHost(), "a" * 64),
    (ClusterHost(), ".a"),
    (ClusterHost(), "a-"),
    (ClusterHost(), None),
    (ConnectAddress(), "10.0.0.7"),
    (ConnectAddress(), "2001:db8::1:1936"),
    (ConnectAddress(), "a:65536"),
    (ConnectAddress(), "a..b:1936"),
    (ConnectAddress(), 1936),
]


@pytest.mark.parametrize(("kind", "value"), GOOD)
def test_a_good_value_is_taken_as_it_is_and_fits_the_schema(kind: Kind, value: str) -> None:
    assert kind.read(value) == value
    assert kind.write(value) == value
    assert re.search(kind.schema()["pattern"], value)


@pytest.mark.parametrize(("kind", "value"), BAD)
def test_a_bad_value_is_refused(kind: Kind, value: object) -> None:
    with pytest.raises(ValueError, match="must"):
        kind.read(value)


def test_a_slash_behind_a_members_url_is_left_out() -> None:
    assert EtcdUrl().read("http://e:2379/") == "http://e:2379"

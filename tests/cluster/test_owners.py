"""cluster/owners.py."""

import pytest

from cluster import owners
from cluster.owners import Owners
from common.ipc.cluster_messages import StreamOwner
from common.ipc.identity import StreamId


def test_a_change_is_reported_once_and_to_who_asked_lately() -> None:
    hosts = {"a": "h1"}
    table = Owners(lambda digest: StreamOwner(digest, host=hosts[digest]))
    assert table.want("a", StreamId("live/a"), 0.0).host == "h1"
    assert table.changes({"a", "b"}, 1.0) == []
    hosts["a"] = "h2"
    assert [owner.host for owner in table.changes({"a"}, 2.0)] == ["h2"]
    assert table.changes({"a"}, 3.0) == []
    hosts["a"] = "h3"
    assert table.changes({"a"}, 15.0) == []
    assert table.name_of("a") == ""


def test_names_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "MAX_WANTED", 2)
    table = Owners(StreamOwner)
    for number, digest in enumerate("abc"):
        table.want(digest, StreamId(digest), float(number))
    assert table.wanted == {"b", "c"}

"""Hosts of two versions side by side: what one wrote the other reads, in etcd and on the link.

`FIRST` and the values are as the first version had them, and stay so. A field may be added at the
end, with a default; a newer version's further fields are left alone.
"""

import dataclasses
import json

import msgpack
import pytest

import common.link.messages
import common.link.publish_messages
from cluster.keys import (
    HostRecord,
    StreamRecord,
    read_base,
    read_host,
    read_stream,
    write_base,
    write_host,
    write_stream,
)
from common.cluster.digest import stream_digest
from common.etcd import messages
from common.ipc.cluster_messages import ClaimOutcome, Reach
from common.ipc.envelope import decode, encode
from common.ipc.identity import StreamId
from common.link.messages import (
    OLDEST_VERSION,
    LinkClosed,
    LinkGreeting,
    LinkTag,
    LinkTaken,
    LinkWanted,
)
from tests.kit.cluster_rig import KEYS, SECRET, Host, Rig, views

HOST = (
    b'{"farm":"f0","version":"0.1.0","relay":"old:1936","rtmp":"old:1935",'
    b'"free":{"software":150.0},"capacity":{"software":200.0},"draining":false}'
)
STREAM = b'{"host":"old","farm":"f0"}'
BASE = b'{"base":1800000000000000}'
# The fields that a message must have, in order.
FIRST = {
    "LinkGreeting": ("version", "cluster", "host", "boot"),
    "LinkRefused": ("reason",),
    "LinkWanted": ("stream", "renditions"),
    "LinkUnwanted": ("stream",),
    "LinkOpened": ("stream", "epoch", "generation", "template", "renditions"),
    "LinkClosed": ("stream", "epoch", "reason", "hold_ms"),
    "LinkHeaders": ("stream", "epoch", "generation", "rendition", "video"),
    "LinkTags": ("stream", "epoch", "generation", "rendition", "tags"),
    "LinkTaken": ("size",),
    "LinkPublish": ("number", "stream_id", "address"),
    "LinkPublishAnswer": ("number",),
    "LinkPublishTimed": ("number", "stamp_ms", "stream_ms"),
    "LinkPublishHeld": ("number", "seconds"),
    "LinkUnits": ("number", "items"),
    "LinkPublishEnd": ("number", "reason", "is_meant"),
    "LinkPublishEnded": ("number", "refusal"),
}
TAG = ("type", "codec", "dts_ms", "composition_ms", "flags", "age_s")  # one of many: never longer


def test_what_the_first_version_wrote_into_etcd_is_read() -> None:
    record = HostRecord(
        "f0", "0.1.0", "old:1936", "old:1935", {"software": 150.0}, {"software": 200.0}
    )
    assert read_host(HOST) == record
    assert read_stream(STREAM) == StreamRecord("old", "f0")
    assert read_base(BASE) == 1_800_000_000_000_000


@pytest.mark.parametrize(
    ("first", "now"),
    [
        (HOST, write_host(HostRecord("f", "1", "r", "p", {"software": 1.0}, {"software": 2.0}))),
        (STREAM, write_stream(StreamRecord("h", "f"))),
        (BASE, write_base(1.8e9)),
    ],
)
def test_the_first_version_finds_all_that_it_looks_for(first: bytes, now: bytes) -> None:
    before, after = json.loads(first), json.loads(now)
    assert {name: type(after.get(name)) for name in before} == {
        name: type(value) for name, value in before.items()
    }


def test_what_a_newer_version_adds_is_left_alone() -> None:
    newer = json.dumps(json.loads(HOST) | {"new": {"x": [1]}}).encode()
    assert read_host(newer) == read_host(HOST)
    newer = json.dumps(json.loads(STREAM) | {"new": None}).encode()
    assert read_stream(newer) == read_stream(STREAM)


@pytest.mark.parametrize("name", FIRST)
def test_fields_of_the_link_are_only_added_at_the_end_with_a_default(name: str) -> None:
    module = common.link.messages
    kind = getattr(module, name, None) or getattr(common.link.publish_messages, name)
    fields = dataclasses.fields(kind)
    needed = tuple(
        field.name
        for field in fields
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    )
    assert needed == FIRST[name]
    assert tuple(field.name for field in fields)[: len(needed)] == needed


def test_a_tag_on_the_link_has_the_fields_that_it_had() -> None:
    assert LinkTag._fields == TAG
    assert OLDEST_VERSION == 1


@pytest.mark.parametrize(
    "message",
    [
        LinkGreeting(1, "c", "h1", "0" * 16),
        LinkWanted("0" * 64, ("720p",)),
        LinkClosed("0" * 64, 7, "it ended", 1_000),
        LinkTaken(9),
    ],
)
def test_shorter_and_longer_messages_are_read(message: object) -> None:
    version, kind, *fields = msgpack.unpackb(encode(message))
    needed = len(FIRST[type(message).__name__])
    for array in (fields[:needed], [*fields, "new", {"x": 1}]):
        assert decode(msgpack.packb([version, kind, *array])) == message


def test_a_host_of_the_first_version_keeps_its_streams_among_newer_ones() -> None:
    class WithOld(Rig):
        def reach(self, host: Host, name: str) -> Reach:
            return Reach.UP

    rig = WithOld("new")
    (new,) = rig.hosts
    digest = stream_digest(SECRET, StreamId("live/cam"))
    lease = 77
    grant = messages.grant(lease, 5)
    put = messages.transaction(
        [],
        [
            messages.put(KEYS.host("old"), HOST, lease),
            messages.put(KEYS.stream(digest), STREAM, lease),
        ],
    )
    for request in (grant, put):
        rig.store.handle(request.path, request.document, rig.now)
    rig.run(2)
    assert [host.name for host in views(new)[-1].hosts] == ["new", "old"]
    assert new.outcome(new.publish("live/cam")) is ClaimOutcome.ELSEWHERE
    rig.run(15)  # its lease ends
    assert [host.name for host in views(new)[-1].hosts] == ["new"]
    assert new.outcome(new.publish("live/cam")) is ClaimOutcome.OWNED

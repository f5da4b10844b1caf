"""common/etcd/messages.py: answers as etcd 3.4.23 gave them, and what nobody should send."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.etcd import messages
from common.etcd.errors import EtcdAway, EtcdError, EtcdRefused
from common.etcd.messages import (
    Answer,
    Compare,
    Event,
    KeyValue,
    WatchAnswer,
    answer_of,
    prefix_end,
    watch_answer_of,
)

HEADER = b'"header":{"cluster_id":"12155407962807719976","revision":"7","raft_term":"2"}'
KV = b'{"key":"YQ==","create_revision":"2","mod_revision":"3","value":"dg==","lease":"77"}'
A = KeyValue("a", b"v", 2, 3, 77)

ANSWERS = [
    (b"{%s}" % HEADER, Answer(7)),
    (b'{%s,"ID":"77","TTL":"5"}' % HEADER, Answer(7, ttl_s=5)),
    (b'{"result":{%s,"ID":"77","TTL":"5"}}\n' % HEADER, Answer(7, ttl_s=5)),
    (b'{"result":{%s,"ID":"78"}}' % HEADER, Answer(7)),
    (b'{%s,"ID":"77","TTL":"-1"}' % HEADER, Answer(7)),
    (b'{%s,"kvs":[%s],"more":true,"count":"4"}' % (HEADER, KV), Answer(7, kvs=(A,), has_more=True)),
    (
        b'{%s,"succeeded":true,"responses":[{"response_put":{%s}}]}' % (HEADER, HEADER),
        Answer(7, succeeded=True),
    ),
    (
        b'{%s,"responses":[{"response_range":{%s,"kvs":[%s]}}]}' % (HEADER, HEADER, KV),
        Answer(7, kvs=(A,)),
    ),
    (b'{%s,"token":"abc.1"}' % HEADER, Answer(7, token="abc.1")),
    (b'{"header":{"revision":7}}', Answer(7)),  # a number where others have a string
    (b"{}", Answer()),
]
LINES = [
    (b'{"result":{%s,"created":true}}' % HEADER, WatchAnswer(7, is_created=True)),
    (
        b'{"result":{%s,"events":[{"kv":%s},{"type":"DELETE","kv":{"key":"YQ==",'
        b'"mod_revision":"4"}}]}}' % (HEADER, KV),
        WatchAnswer(7, events=(Event(A), Event(KeyValue("a", mod_revision=4), is_delete=True))),
    ),
    (
        b'{"result":{%s,"canceled":true,"compact_revision":"9"}}' % HEADER,
        WatchAnswer(7, canceled="it was cancelled", compact_revision=9),
    ),
]
UNREADABLE = [
    b"",
    b"nothing",
    b"[]",
    b"7",
    b'{"header":7}',
    b'{"kvs":7}',
    b'{"kvs":[7]}',
    b'{"kvs":[{"key":7}]}',
    b'{"kvs":[{"key":"*"}]}',
    b'{"header":{"revision":true}}',
    b'{"header":{"revision":"seven"}}',
    b'{"header":{"revision":"' + b"9" * 5000 + b'"}}',
    b'{"responses":[7]}',
    b'{"result":7}',
    b"[" * 100_000,
]


@pytest.mark.parametrize(("body", "answer"), ANSWERS)
def test_an_answer_is_read(body: bytes, answer: Answer) -> None:
    assert answer_of(body) == answer


@pytest.mark.parametrize(("line", "answer"), LINES)
def test_a_line_of_a_watch_is_read(line: bytes, answer: WatchAnswer) -> None:
    assert watch_answer_of(line) == answer


@pytest.mark.parametrize("body", UNREADABLE)
def test_what_cannot_be_read_is_as_if_nothing_had_come(body: bytes) -> None:
    with pytest.raises(EtcdAway):
        answer_of(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":"etcdserver: lease already exists","message":"x","code":9}',
        b'{"error":{"grpc_code":9,"http_code":412,"message":"etcdserver: lease already exists"}}',
    ],
)
def test_a_refusal_is_raised_with_its_words(body: bytes) -> None:
    for read in (answer_of, watch_answer_of):
        with pytest.raises(EtcdRefused, match="lease already exists") as caught:
            read(body)
        assert caught.value.code == 9


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=6),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["header", "kvs", "result", "error", "events", "kv", "key", "responses"]
                ),
                inner,
                max_size=3,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_an_answer_or_an_error(document: object) -> None:
    for read in (answer_of, watch_answer_of):
        with contextlib.suppress(EtcdError):
            read(json.dumps(document).encode())


def test_requests_are_as_the_gateway_takes_them() -> None:
    asked = messages.transaction(
        [Compare("a", create=0), Compare("b", mod=4)],
        [messages.put("a", b"\xff", 77), messages.delete("b")],
        [messages.get("a")],
    )
    assert asked.path == "/v3/kv/txn"
    assert json.loads(asked.body()) == {
        "compare": [
            {"key": "YQ==", "target": "CREATE", "create_revision": 0},
            {"key": "Yg==", "target": "MOD", "mod_revision": 4},
        ],
        "success": [
            {"request_put": {"key": "YQ==", "value": "/w==", "lease": 77}},
            {"request_delete_range": {"key": "Yg=="}},
        ],
        "failure": [{"request_range": {"key": "YQ=="}}],
    }
    assert messages.read("a").document == {"key": "YQ=="}
    assert messages.read("a", "b", limit=2, revision=3).document == {
        "key": "YQ==",
        "range_end": "Yg==",
        "limit": 2,
        "revision": 3,
    }
    assert messages.watch("a", "b", 3).document["create_request"]["start_revision"] == 3
    paths = messages.grant(1, 5), messages.keep_alive(1), messages.revoke(1)
    assert [one.path for one in paths] == [
        "/v3/lease/grant",
        "/v3/lease/keepalive",
        "/v3/lease/revoke",
    ]
    assert messages.authenticate("u", "p").document == {"name": "u", "password": "p"}


@given(st.text("abz/09", min_size=1), st.text("abz/09~"))
def test_the_end_of_a_prefix_is_behind_all_its_keys_and_before_all_others(
    prefix: str, rest: str
) -> None:
    assert prefix <= prefix + rest < prefix_end(prefix)
    assert prefix_end(prefix)[:-1] + "~~" >= prefix_end(prefix)

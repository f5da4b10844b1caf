"""cluster/view.py: who is there, who is missing, who is gone."""

from cluster.keys import HostRecord, Keys, StreamRecord, write_base, write_host, write_stream
from cluster.view import View
from common.etcd.messages import Event, KeyValue

KEYS = Keys("c")
DIGEST = "0" * 64
HOST = KeyValue(KEYS.host("a"), write_host(HostRecord("f")), 2, 2)
STREAM = KeyValue(KEYS.stream(DIGEST), write_stream(StreamRecord("a", "f")), 3, 3)
GONE = [Event(KeyValue(kv.key, mod_revision=4), is_delete=True) for kv in (STREAM, HOST)]


def new_view() -> View:
    view = View(KEYS)
    view.replace([KeyValue(KEYS.base, write_base(1.0)), HOST, STREAM], 0.0)
    assert view.base == 1_000_000
    view.changed.clear()
    return view


def test_a_host_whose_key_is_deleted_while_all_is_well_is_gone_with_its_streams() -> None:
    view = new_view()
    view.apply(GONE, 1.0, is_settled=True)
    assert view.is_gone("a")
    assert view.owners == {}
    assert view.changed == {DIGEST}


def test_a_host_is_missing_where_etcd_was_away_lately_and_its_streams_are_kept() -> None:
    view = new_view()
    view.apply(GONE, 1.0, is_settled=False)
    assert view.hosts["a"].missing_s == view.owners[DIGEST].kept_s == 1.0
    view.stay_missing(3.0)
    view.expire(2.0)
    assert not view.is_gone("a")
    view.expire(3.0)
    assert view.is_gone("a")
    assert view.owners == {}


def test_a_missing_host_that_comes_back_has_what_it_registers_again() -> None:
    view = new_view()
    view.replace([], 1.0)
    view.apply([Event(HOST)], 2.0, is_settled=False)
    assert view.hosts["a"].missing_s is None
    assert view.owners[DIGEST].kept_s == 1.0
    view.apply([Event(STREAM)], 2.0, is_settled=False)
    assert view.owners[DIGEST].kept_s is None


def test_a_stream_that_a_host_releases_is_free_at_once() -> None:
    view = new_view()
    view.apply(GONE[:1], 1.0, is_settled=False)
    assert view.owners == {}


def test_an_older_deletion_does_not_end_a_newer_key() -> None:
    view = new_view()
    view.put(KeyValue(STREAM.key, STREAM.value, 9, 9))
    view.apply(GONE[:1], 1.0, is_settled=True)
    assert view.owners[DIGEST].mod_revision == 9


def test_keys_of_others_and_unreadable_ones_change_nothing() -> None:
    view = new_view()
    view.put(KeyValue("/elsewhere", b"{}", 9, 9))
    view.put(KeyValue(KEYS.stream("1" * 64), b"nothing", 9, 9))
    view.put(KeyValue(KEYS.host("b"), b"nothing", 9, 9))
    assert (len(view.hosts), len(view.owners)) == (1, 1)


def test_streams_are_counted_by_host() -> None:
    view = new_view()
    assert view.streams == {"a": 1}
    view.put(KeyValue(STREAM.key, write_stream(StreamRecord("b", "f")), 5, 5))
    assert view.streams == {"b": 1}
    view.put(KeyValue(KEYS.stream("1" * 64), STREAM.value, 6, 6))
    view.apply(GONE[:1], 1.0, is_settled=True)
    assert view.streams == {"a": 1, "b": 1}, "an older deletion"
    view.replace([HOST], 1.0)
    assert view.streams == {"a": 1, "b": 1}, "they are kept"
    view.expire(1.0)
    assert view.streams == {}
    assert view.owners == {}

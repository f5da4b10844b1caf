"""common/ipc/identity.py."""

from common.ipc.identity import split_stream_id, stream_id


def test_a_stream_id_splits_into_what_it_was_made_of() -> None:
    assert stream_id("live", "cam1") == "live/cam1"
    assert split_stream_id(stream_id("live", "cam1")) == ("live", "cam1")

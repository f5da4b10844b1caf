"""The table of message streams."""

from common.rtmp.message_streams import MessageStreams, StreamUse


def test_ids_are_the_lowest_free_from_1_on():
    streams = MessageStreams(4)
    assert [streams.create() for _ in range(3)] == [1, 2, 3]
    streams.delete(2)
    assert streams.create() == 2
    assert streams.ids() == (1, 3, 2)


def test_a_full_table_opens_nothing_new():
    streams = MessageStreams(2)
    assert streams.open(0) is not None
    assert streams.create() == 1
    assert streams.create() is None
    assert streams.open(9) is None
    assert streams.open(0) is streams.get(0)


def test_uses_are_found():
    streams = MessageStreams(8)
    for _ in range(3):
        streams.create()
    assert (streams.publishing(), streams.playing(), streams.in_use()) == (None, None, None)
    for use, asked in [
        (StreamUse.PUBLISH_PENDING, streams.publishing),
        (StreamUse.PUBLISHING, streams.publishing),
        (StreamUse.PLAYING, streams.playing),
        (StreamUse.PLAY_PENDING, streams.in_use),
    ]:
        stream = streams.get(2)
        assert stream is not None
        stream.use = use
        assert asked() == 2
        assert streams.in_use() == 2


def test_deleting_what_is_not_there_does_nothing():
    streams = MessageStreams(1)
    streams.delete(5)
    assert streams.get(5) is None


def test_a_stream_with_a_request_is_known():
    streams = MessageStreams(1)
    streams.create()
    assert streams.known(1) is streams.get(1)

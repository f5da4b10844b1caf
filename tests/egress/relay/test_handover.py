"""egress/relay/handover.py: a stream over two hosts, taken by an egress's own streams"""

from dataclasses import replace

from common.ipc.identity import Generation
from common.ipc.media_messages import HEADER, KEY, REPLAY
from common.link.messages import LinkTag, LinkTags
from egress.relay.handover import END_S, Handover
from egress.relay.played_stream import PlayedStream
from tests.egress.relay.test_played_stream import ID, Home, begun, headers, pictures, put
from tests.kit.host_link import STREAM, opened


def bodies(message: LinkTags) -> list[bytes]:
    return [b"%d" % tag.dts_ms for tag in message.tags]


def key(at_ms: int, *more: int, name: str = "720p") -> LinkTags:
    return replace(pictures(at_ms, *more, key=at_ms, name=name), epoch=9)


def sounds(*times: int) -> LinkTags:
    return LinkTags(
        STREAM, 9, Generation(5), "", tuple(LinkTag(8, "aac", t, 0, 0, 0.0) for t in times)
    )


class Rig:
    def __init__(self) -> None:
        self.home = Home()
        self.stream: PlayedStream = begun(self.home)  # up to 120 ms
        self.handover = Handover(self.stream, 100.0)
        self.home.take(self.stream.opened(opened(epoch=9, generation=5)))

    def before(self, message: LinkTags) -> None:
        self.home.take(*self.handover.before(message, bodies(message), 100.0))

    def next(self, message: LinkTags) -> None:
        self.home.take(*self.handover.next(message, bodies(message), 100.0))


def test_both_are_one_stream_of_one_generation() -> None:
    rig = Rig()
    rig.home.take(*rig.handover.next(headers(), [b"next script", b"next header"], 100.0))
    rig.next(key(240, 280))
    taken = rig.home.streams.by_id[ID]
    rig.before(pictures(160, 200))
    assert rig.home.times("720p") == [240, 280]  # the GOP since its last keyframe
    rendition = taken.renditions["720p"]
    assert (rendition.frames, rendition.dropped) == (4 + 2 + 2, 0)
    assert rendition.video_header == b"next header"
    assert taken.generation == 12
    assert rig.handover.are_over
    assert rig.handover.is_over(100.0)
    assert rig.home.denied == []


def test_its_headers_wait_for_its_first_keyframe() -> None:
    rig = Rig()
    rig.home.take(*rig.handover.next(headers(), [b"next script", b"next header"], 100.0))
    rig.before(pictures(160, 200, key=160))
    rendition = rig.home.streams.by_id[ID].renditions["720p"]
    assert rendition.video_header == b"header"
    rig.home.take(*rig.handover.end_before(100.0))
    rig.next(key(1000))
    assert rendition.video_header == b"next header"
    rig.home.take(*rig.handover.next(headers(), [b"script", b"third header"], 100.0))
    assert rendition.video_header == b"third header"


def test_headers_without_pictures_come_into_force_at_the_end() -> None:
    rig = Rig()
    rig.home.take(*rig.handover.next(headers("source"), [b"publisher's", b""], 100.0))
    rig.next(key(160))
    assert rig.handover.is_over(100.0)
    rig.home.take(*rig.handover.end())
    taken = rig.home.streams.by_id[ID]
    assert taken.renditions["source"].script == b"publisher's"


def test_sound_goes_on_behind_the_last_without_a_gap_or_a_repetition() -> None:
    rig = Rig()
    rig.before(replace(sounds(0, 20, 40), epoch=7))
    rig.next(sounds(20, 40, 100, 120))
    rig.before(replace(sounds(60, 80, 100), epoch=7))
    rendition = rig.home.streams.by_id[ID].renditions["720p"]
    heard = [tag.dts_ms for tag in rendition.gop_buffer.tags if tag.type == 8]
    assert heard == [0, 20, 40, 60, 80, 100, 120]


def test_the_sound_s_header_and_a_sign_of_life_pass() -> None:
    rig = Rig()
    head = LinkTags(STREAM, 9, Generation(5), "", (LinkTag(8, "aac", 0, 0, HEADER, 0.0),))
    assert len(rig.handover.next(head, [b"sound header"], 100.0)) == 1
    assert len(rig.handover.next(replace(head, tags=()), [], 100.0)) == 1


def test_a_rendition_that_is_new_begins_with_the_next_host() -> None:
    rig = Rig()
    rig.home.take(*rig.handover.next(headers("360p"), [b"script", b"header"], 100.0))
    rig.next(key(0, 40, name="360p"))
    assert rig.home.times("360p") == [0, 40]
    assert not rig.handover.are_over


def test_what_the_next_host_replays_is_no_repetition() -> None:
    rig = Rig()
    replay = LinkTags(
        STREAM, 9, Generation(5), "720p", (LinkTag(9, "h264", 0, 0, KEY | REPLAY, 0.0),)
    )
    rig.next(replay)
    assert rig.home.times("720p") == [0, 40, 80, 120]


def test_a_rendition_that_never_comes_is_not_waited_for() -> None:
    rig = Rig()
    assert not rig.handover.is_over(99.0 + END_S)
    assert rig.handover.is_over(100.0 + END_S)
    assert put(rig.stream, pictures(160)).name == "720p"

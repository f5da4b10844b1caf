"""egress/relay/played_stream.py: what it sends, taken by an egress's own streams"""

from itertools import pairwise

from common.ipc.envelope import decode
from common.ipc.identity import ChildId, Generation, StreamId
from common.ipc.media_messages import HEADER, KEY, REPLAY, StreamClosed, StreamOpen
from common.link.messages import LinkHeaders, LinkOpened, LinkTag, LinkTags
from egress.relay.played_stream import Out, PlayedStream
from egress.streams.registry import Streams
from egress.streams.stream import StreamState
from tests.kit.host_link import STREAM, TEMPLATE, VIDEO_FACTS, opened

ID = StreamId("live/cam")
RELAY = ChildId("relay")
G = Generation(3)


class RelaySender:
    """The relay's link, as an egress sees it."""

    child = RELAY
    worker: ChildId | None = None
    closed = False

    def answer(self, frames: object, /) -> bool:
        return True


class Home:
    """An egress that takes what is sent."""

    def __init__(self) -> None:
        self.denied: list[object] = []
        self.streams = Streams(on_denied=lambda message, _: self.denied.append(message))

    def take(self, *outs: Out, now: float = 1.0) -> None:
        for out in outs:
            self.take_frames(out.frames, now)

    def take_frames(self, frames: object, now: float = 1.0) -> None:
        envelope, *payloads = list(frames)  # type: ignore[call-overload]  # frames are a sequence
        message, sender = decode(envelope), RelaySender()
        if isinstance(message, StreamOpen):
            self.streams.open(message, now, sender)
        elif isinstance(message, StreamClosed):
            self.streams.close(message, now, sender)
        else:
            self.streams.take(message, payloads, now, sender)

    def times(self, rendition: str) -> list[int]:
        tags = self.streams.by_id[ID].renditions[rendition].gop_buffer.tags
        return [tag.dts_ms for tag in tags if tag.type == 9]


def headers(name: str = "720p") -> LinkHeaders:
    return LinkHeaders(STREAM, 7, G, name, VIDEO_FACTS)


def pictures(*times: int, flags: int = 0, key: int | None = 0, name: str = "720p") -> LinkTags:
    tags = [LinkTag(9, "h264", t, 0, flags | (KEY if t == key else 0), 0.01) for t in times]
    return LinkTags(STREAM, 7, G, name, tuple(tags))


def put(stream: PlayedStream, message: LinkTags) -> Out:
    return stream.tags(message, [b"%d" % tag.dts_ms for tag in message.tags], 100.0)


def begun(home: Home) -> PlayedStream:
    stream = PlayedStream(ID, Generation(12), RELAY)
    home.take(stream.opened(opened()), stream.headers(headers(), [b"script", b"header"]))
    home.take(put(stream, pictures(0, 40, flags=REPLAY)), put(stream, pictures(80, 120)))
    return stream


def test_a_home_serves_it_as_a_stream_of_its_own_farm() -> None:
    home = Home()
    begun(home)
    assert home.denied == []
    assert home.times("720p") == [0, 40, 80, 120]
    taken = home.streams.by_id[ID]
    assert (taken.generation, taken.transcoded, taken.template) == (12, ("720p", "360p"), TEMPLATE)
    assert taken.renditions["720p"].video_header == b"header"
    assert taken.epoch_ms == 1_800_000_000_000
    received = taken.renditions["720p"].gop_buffer.tags[0].received_s
    assert received == 100.0 - 0.01


def test_a_gop_that_comes_again_after_a_lost_link_costs_no_picture_and_repeats_none() -> None:
    home = Home()
    stream = begun(home)
    home.take(stream.opened(opened()), stream.headers(headers(), [b"script", b"header"]))
    home.take(put(stream, pictures(0, 40, 80, 120, 160, 200, flags=REPLAY)))
    home.take(put(stream, pictures(240)))
    assert home.times("720p") == [0, 40, 80, 120, 160, 200, 240]
    assert home.streams.by_id[ID].renditions["720p"].dropped == 0


def test_a_rendition_that_is_wanted_later_begins_with_the_sound_of_its_gop() -> None:
    home = Home()
    stream = begun(home)
    sounds = tuple(LinkTag(8, "aac", t, 0, 0, 0.0) for t in (0, 50, 100))
    home.take(stream.tags(LinkTags(STREAM, 7, G, "", sounds), [b"a"] * 3, 100.0))
    later = home.streams.by_id[ID].renditions["360p"]
    later.advance(3.0)
    home.take(stream.headers(headers("360p"), [b"script", b"header"]))
    gop = pictures(0, 40, 80, 120, flags=REPLAY, name="360p")
    ahead = stream.sound_before(gop)
    assert ahead is not None
    home.take(ahead, put(stream, gop))
    assert stream.sound_before(pictures(160, name="360p")) is None
    home.take(put(stream, pictures(160, name="360p")))
    order = [(tag.type, tag.dts_ms) for tag in later.gop_buffer.tags]
    assert order == [(9, 0), (9, 40), (8, 50), (9, 80), (8, 100), (9, 120), (9, 160)]
    assert home.streams.by_id[ID].renditions["720p"].dropped == 0


def test_an_egress_that_comes_later_is_sent_all_that_it_needs() -> None:
    stream = begun(Home())
    sound = LinkTags(
        STREAM, 7, G, "", (LinkTag(8, "aac", 0, 0, HEADER, 0.0), LinkTag(8, "aac", 90, 0, 0, 0.0))
    )
    stream.tags(sound, [b"header", b"sound"], 100.0)
    late = Home()
    for key, output in stream.outputs():
        assert key[:2] == (ID, 12)
        for frames in output.catch_up():
            late.take_frames(frames)
    late.take(put(stream, pictures(160)))
    assert late.times("720p") == [0, 40, 80, 120, 160]
    assert late.streams.by_id[ID].renditions["720p"].gop_buffer.config.audio is not None


def test_what_is_over_is_over_at_once_and_what_is_held_goes_on_in_its_numbers() -> None:
    home = Home()
    stream = begun(home)
    home.take(*stream.closed("its host cannot be reached", 5_000))
    assert home.streams.by_id[ID].state is StreamState.HELD
    assert list(stream.outputs()) == []
    home.take(stream.opened(opened()), stream.headers(headers(), [b"script", b"header"]))
    home.take(put(stream, pictures(1000, 1040, key=1000)))
    assert home.times("720p") == [1000, 1040]
    home.take(*stream.closed("the publisher left", 0))
    taken = home.streams.by_id[ID]
    taken.tick(1.0)
    assert taken.state is StreamState.ENDED
    assert stream.closed("again", 0) == []


def test_another_owner_goes_on_behind_what_was_sent() -> None:
    home = Home()
    begun(home)
    again = PlayedStream(ID, Generation(13), RELAY)
    home.take(again.opened(LinkOpened(STREAM, 9, G, TEMPLATE, ("720p", "360p"))))
    home.take(again.headers(headers(), [b"script", b"header"]))
    home.take(put(again, pictures(2000, 2040, key=2000)))
    assert home.times("720p") == [2000, 2040]
    assert all(before < after for before, after in pairwise(home.times("720p")))


def test_nobody_but_the_relay_that_opened_it_may_fill_it() -> None:
    home = Home()
    stream = begun(home)
    other = PlayedStream(ID, Generation(12), ChildId("relay", index=1))
    home.take(other.opened(opened()))
    assert len(home.denied) == 1
    unopened = PlayedStream(ID, Generation(11), RELAY)
    home.take(put(unopened, pictures(0)))
    assert len(home.denied) == 2
    assert stream.is_open

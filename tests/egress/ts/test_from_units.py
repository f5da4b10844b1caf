"""egress/ts/from_units.py: a rendition as pieces of a transport stream."""

import pytest

from common.flv import ad_cue
from common.ipc.media_messages import HEADER, KEY
from common.ipc.view_answer import ViewAnswer, framed
from common.mpegts.demuxer import (
    PACKET_BYTES,
    PesPacket,
    SpliceSection,
    TracksChosen,
    TransportStream,
)
from common.mpegts.muxer import BEGIN_MS
from common.scte35.section import parse
from egress.http.channel import Channel
from egress.http.responses import content
from egress.streams.subscribers import Start
from egress.streams.tag import AUDIO, DATA, VIDEO, Config, Tag
from egress.ts.from_units import TsPieces
from tests.kit.egress import made_tag
from tests.kit.http_viewer import (
    Feed,
    MemoryViewer,
    audio_header,
    picture_tag,
    sound_tag,
    video_header,
)
from tests.kit.scte35_writer import insertion


def header(kind: int, body: bytes) -> Tag:
    return made_tag(kind, 0, HEADER, body)


CONFIG = Config(video=header(VIDEO, video_header()), audio=header(AUDIO, audio_header()))


def chosen_of(data: bytes) -> list[bool]:
    """Whether there is sound, by each map of the program."""
    events = TransportStream(("aac",)).feed(data, 0.0)
    return [event.audio is not None for event in events if isinstance(event, TracksChosen)]


def test_a_piece_begins_at_each_keyframe_and_holds_whole_packets() -> None:
    pieces = TsPieces()
    pieces.configure(CONFIG)
    tags = [picture_tag(0, key=True), sound_tag(0), picture_tag(40), picture_tag(80, key=True)]
    made = [*pieces.append(tags), *pieces.append([sound_tag(85)])]
    assert [(p.is_key, p.begin_ms, p.end_ms, p.pictures) for p in made] == [
        (True, 0, 40, 2),
        (True, 80, 80, 1),
        (False, 85, 85, 0),
    ]
    for piece in made:
        assert len(content(piece.wire)) % PACKET_BYTES == 0
    assert pieces.head(is_chunked=False) == framed(ViewAnswer())


def test_sound_that_comes_later_goes_on_in_the_same_stream() -> None:
    pieces = TsPieces()
    pieces.configure(CONFIG._replace(audio=None))
    made = pieces.append([picture_tag(0, key=True), sound_tag(0)])
    pieces.configure(CONFIG)
    made += pieces.append([sound_tag(20), picture_tag(40)])
    assert not pieces.problem
    assert chosen_of(b"".join(bytes(content(piece.wire)) for piece in made)) == [False, True]


def test_sound_alone_begins_where_it_is_flagged_so() -> None:
    pieces = TsPieces()
    pieces.configure(CONFIG._replace(video=None))
    first, later = sound_tag(0), sound_tag(21)
    first.flags |= KEY
    (made,) = pieces.append([first, later])
    assert (made.is_key, made.pictures) == (True, 0)
    again = sound_tag(2000)
    again.flags |= KEY
    (joined,) = pieces.append([again])
    assert joined.is_key
    events = TransportStream(("aac",)).feed(bytes(content(joined.wire)), 0.0)
    assert [type(event) for event in events] == [TracksChosen, PesPacket]


@pytest.mark.parametrize(
    ("body", "words"), [(b"\x90av01" + bytes((0x81, 0, 12, 0)), "AV1"), (b"\x17\x00", "")]
)
def test_pictures_that_are_not_carried_are_a_problem_in_words(body: bytes, words: str) -> None:
    pieces = TsPieces()
    pieces.configure(Config(video=header(VIDEO, body)))
    assert pieces.problem
    assert words in pieces.problem
    assert not pieces.append([picture_tag(0, key=True)])


def test_a_viewer_by_a_channel_begins_with_the_gop_or_at_the_next_keyframe() -> None:
    feed = Feed(gop=5)
    feed.next(8)
    channel = Channel(feed.rendition, has_sound=False, make=TsPieces)
    first, live = MemoryViewer(is_chunked=False), MemoryViewer(is_chunked=False)
    first.join(channel)
    channel.join(live, Start.LIVE)
    assert first.got.startswith(framed(ViewAnswer()))
    assert not live.got
    feed.next(4)
    size = len(framed(ViewAnswer()))
    stream, later = bytes(first.got[size:]), bytes(live.got[size:])
    assert stream.endswith(later)
    assert not len(stream) % PACKET_BYTES
    read = TransportStream(("aac",))
    events = [*read.feed(stream, 0.0), *read.flush()]
    times = [event.dts for event in events if isinstance(event, PesPacket) and event.track.is_video]
    assert times == [(BEGIN_MS + at) * 90 for at in range(200, 480, 40)]


def test_a_splice_goes_on_in_the_stream_at_its_time() -> None:
    pieces = TsPieces()
    pieces.configure(CONFIG)
    body = ad_cue.encode(insertion(7, 5), parse(insertion(7, 5)), 0, 2_000)
    tags = [picture_tag(0, key=True), made_tag(DATA, 40, 0, body), picture_tag(40)]
    tags.append(made_tag(DATA, 60, 0, b"\x02\x00\x02hi"))
    (piece,) = pieces.append(tags)
    events = TransportStream(("aac",)).feed(bytes(content(piece.wire)), 0.0)
    (found,) = (event for event in events if isinstance(event, SpliceSection))
    assert parse(found.data).pts == (2_040 + BEGIN_MS) * 90

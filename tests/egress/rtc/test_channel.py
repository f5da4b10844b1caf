"""A rendition as packets: made once, and only of what browsers play."""

from common.codecs.table import VIDEO_CODECS
from common.flv.audio import aac_frame
from common.flv.video import picture_body, video_header_body
from common.ipc.media_messages import KEY, TagHeader
from common.media.units import VideoCodec
from common.rtp.history import Frame
from egress.rtc.channel import B_FRAMES, Channel, Channels
from egress.streams.tag import AUDIO, Tag
from tests.kit.coded_video import CodedSpec, CodedVideo, coded_video
from tests.kit.egress import egress_rendition, made_tag, tag
from tests.kit.rtc_viewer import STEP_MS, PictureFeed


class Sink:
    def __init__(self):
        self.frames: list[Frame] = []
        self.ended = ""

    def on_frame(self, channel, frame):
        self.frames.append(frame)

    def on_channel_end(self, channel, reason):
        self.ended = reason


def test_pictures_are_packets_once_for_all_viewers():
    feed, one, other = PictureFeed(gop=5), Sink(), Sink()
    feed.next(7)
    feed.channel.join(one)
    assert feed.channel.has_start
    assert feed.channel.profile == "64"
    assert [frame.time_ms for frame in feed.channel.history.since_key()] == [200, 240]
    feed.channel.join(other)
    feed.next(2)
    assert [frame.time_ms for frame in other.frames] == [280, 320]
    assert all(a is b for a, b in zip(one.frames[-2:], other.frames, strict=True))


def test_a_keyframe_has_the_parameter_sets_in_front():
    feed, sink = PictureFeed(gop=2), Sink()
    feed.channel.join(sink)
    feed.next(3)
    assert [payload[0] & 0x1F for payload in sink.frames[0].payloads] == [24, 28, 28, 28]
    assert [payload[0] & 0x1F for payload in sink.frames[1].payloads] == [28, 28, 28]
    assert sink.frames[2].is_key
    assert feed.channel.gop_ms == 2 * STEP_MS


def test_nothing_is_made_while_nobody_watches():
    feed, sink = PictureFeed(), Sink()
    feed.channel.join(sink)
    feed.next(3)
    feed.channel.remove(sink)
    assert not feed.rendition.is_subscribed
    feed.next(3)
    assert len(sink.frames) == 3
    feed.channel.join(sink)
    assert len(feed.channel.history) == 6  # from the rendition's own buffer


def test_pictures_with_b_frames_are_refused_in_words():
    feed, sink = PictureFeed(), Sink()
    feed.channel.join(sink)
    feed.next(1, composition_ms=40)
    feed.next(1, composition_ms=120)
    assert not feed.channel.problem
    feed.next(1, composition_ms=40)
    assert feed.channel.problem == sink.ended == B_FRAMES


def test_a_delay_of_all_pictures_alike_is_no_b_frame():
    feed, sink = PictureFeed(), Sink()
    feed.channel.join(sink)
    feed.next(30, composition_ms=80)
    assert not feed.channel.problem
    assert sink.frames[0].time_ms == 80


def test_sound_goes_to_who_asked_for_it_with_its_configuration():
    feed = PictureFeed()
    got: list[Tag] = []
    channel = Channel(feed.rendition, on_sound=lambda config, tags: got.extend(tags))
    channel.join(Sink())
    feed.next()
    feed.rendition.shared(made_tag(AUDIO, 0, 0, aac_frame(b"sound")), 0.0)
    feed.next()
    assert [tag.body for tag in got] == [aac_frame(b"sound")]


def test_an_end_is_told_and_a_channel_is_forgotten_with_its_last_viewer():
    feed, sink = PictureFeed(), Sink()
    channels = Channels(lambda stream_id, config, tags: None)
    channel = channels.get(feed.rendition)
    channel.join(sink)
    assert channels.get(feed.rendition) is channel
    assert channels.names(feed.rendition.stream_id) == ["720p"]
    feed.rendition.end("it is over")
    assert sink.ended == "it is over"
    channel.remove(sink)
    channel = channels.get(feed.rendition)
    channel.join(sink)
    channel.remove(sink)
    assert list(channels) == []


def test_what_is_known_of_a_rendition_is_known_before_its_first_viewer():
    """His answer says the payload type, and what he is sent has it."""
    feed = PictureFeed()
    feed.next()
    assert Channel(feed.rendition).profile == "64"


def header(made: CodedVideo) -> bytes:
    return video_header_body(VIDEO_CODECS[made.spec.codec].parse_config(made.record))


def test_a_rendition_whose_codec_changes_ends_its_viewers_and_begins_anew():
    made = coded_video(CodedSpec(VideoCodec.AV1, 320, 180, frames=4, gop=2))
    hevc = coded_video(CodedSpec(VideoCodec.H265, 320, 180, frames=1))
    rendition = egress_rendition()
    rendition.open(b"", header(made), 0)
    channel, sink = Channel(rendition), Sink()

    def take(number: int, codec: VideoCodec, data: bytes, is_key: bool) -> None:
        entry = TagHeader(9, codec, number * STEP_MS, 0, KEY if is_key else 0, 0.0)
        rendition.tags(number, [tag((entry, picture_body(codec, data, is_key)))], 0.0)
        rendition.flush()

    for number, unit in enumerate(made.units):
        take(number, VideoCodec.AV1, unit.data, unit.is_key)
        channel.join(sink)
    assert channel.codec is VideoCodec.AV1
    assert [frame.is_key for frame in channel.history.since_key()] == [True, False]
    assert sink.frames[-2].payloads[0][0] & 0x08, "a coded video sequence begins"
    rendition.open(b"", header(hevc), 4)
    take(4, VideoCodec.H265, hevc.units[0].data, True)
    assert "it is HEVC now: watch it anew" in sink.ended
    channel.remove(sink)
    anew = Channel(rendition)
    assert (anew.codec, anew.profile, anew.problem) == (VideoCodec.H265, "1", "")

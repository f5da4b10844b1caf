"""ingest/streams/publisher.py: one publishing connection's messages, and what it is closed for."""

from dataclasses import replace

import pytest

from common.access.refusal import Refusal, RefusalReason
from common.config.settings import IngestSettings
from common.flv.audio import aac_frame
from common.ipc.media_messages import AccessUnit, StreamPause
from common.rtmp.events import (
    AudioReceived,
    DataReceived,
    Event,
    MetadataReceived,
    PublishEnded,
    VideoReceived,
)
from ingest.streams.publisher import BATCH_S, Publisher
from ingest.streams.reading_pace import KEPT_LEAD_S, TOO_FAST
from ingest.streams.stream import Stream, StreamState
from ingest.streams.stream_context import StreamContext
from tests.kit.h264_bits import make_sps
from tests.kit.ingest_ports import (
    ANSWER,
    WORKER,
    FakePeers,
    header,
    picture,
    sound,
    sound_header,
)
from tests.kit.registry_rig import FakeConnection

SETTINGS = IngestSettings(first_video_timeout_s=10.0, idle_timeout_s=15.0)


class Around:
    def __init__(self) -> None:
        self.peers = FakePeers()
        self.stream = Stream(
            ANSWER,
            StreamContext(self.peers, lambda _: None, lambda: 1, lambda: 0.0, lambda: 0.0),
            0.0,
        )
        self.stream.arrive("192.0.2.1:5000", 100.0)
        self.connection = FakeConnection()
        self.connection.accept_publish(7, self.stream.timeline, 100.0)
        self.publisher = Publisher(self.stream, self.connection, SETTINGS, 100.0)

    def take(self, *events: Event, now: float = 100.0) -> Refusal | None:
        assert self.connection.demuxer is not None
        for event in self.connection.demuxer.take(events, now):
            refusal = self.publisher.take(event, now)
            if refusal is not None:
                return refusal
        self.stream.media.end_read(now)
        return None

    @property
    def dropped(self) -> dict[str, int]:
        return self.stream.status(100.0).dropped


def test_media_of_every_kind_reaches_the_stream() -> None:
    around = Around()
    text = b"\x02\x00\x06onText"
    refusal = around.take(
        MetadataReceived(0, b"\x02\x00\x0aonMetaData\x08\0\0\0\0\0\0\x09"),
        sound_header(),
        header(),
        picture(0, key=True),
        sound(10),
        DataReceived(20, text),
        picture(40),
    )
    assert refusal is None
    assert around.peers.running[0].kinds() == [
        "StreamOpen",
        "RenditionOpen",
        "Tags",
        "StreamOpen",  # with the epoch, in front of the first media
        "Tags",
        "Tags",
        "Tags",
    ]
    assert around.publisher.has_video
    status = around.stream.status(100.0)
    assert (status.audio, status.frames) == ("AAC-LC 48 kHz 2ch", 2)


def test_metadata_that_nobody_can_read_reaches_no_rendition() -> None:
    around = Around()
    unreadable = DataReceived(20, b"\x02\x00\x0aonMetaData\x08\0\0\0\x01\0\x05width")
    around.take(header(), picture(0, key=True))
    kinds = around.peers.running[0].kinds()
    around.take(unreadable)
    assert around.peers.running[0].kinds() == kinds
    assert around.dropped == {"unreadable metadata": 1}


def test_another_codec_is_refused_by_name_and_for_a_while() -> None:
    around = Around()
    refusal = around.take(VideoReceived(0, b"\x90vvc1" + bytes(20)))
    assert refusal is not None
    assert refusal.reason is RefusalReason.UNSUPPORTED
    assert "VVC" in refusal.words
    assert refusal.is_lasting


@pytest.mark.parametrize(
    ("sps", "words"),
    [
        (make_sps(width_mbs=768, height_mbs=768, reference_frames=1), "12288x12288"),
        (make_sps(width_mbs=480, height_mbs=270), "7680x4320"),
        (make_sps(width_mbs=120, height_mbs=68, reference_frames=17), "max_reference_frames"),
    ],
)
def test_a_header_beyond_the_limits_is_refused_in_words_and_reaches_nobody(
    sps: bytes, words: str
) -> None:
    around = Around()
    refusal = around.take(header(sps), picture(0, key=True))
    assert refusal is not None
    assert (refusal.reason, refusal.is_lasting) == (RefusalReason.DENIED, True)
    assert words in refusal.words
    assert around.stream.state is StreamState.WAITING
    assert not around.peers.running[0].kinds()


def test_the_largest_header_of_level_5_2_is_taken_upright_too() -> None:
    for width, height in ((256, 144), (144, 256)):
        around = Around()
        assert around.take(header(make_sps(width_mbs=width, height_mbs=height))) is None
        assert around.stream.state is StreamState.LIVE


def test_a_running_source_that_grows_beyond_the_limits_is_ended() -> None:
    around = Around()
    assert around.take(header(), picture(0, key=True)) is None
    refusal = around.take(header(make_sps(width_mbs=768, height_mbs=768)))
    assert refusal is not None
    assert "max_size" in refusal.words


def test_a_bitrate_beyond_the_limit_is_refused_when_it_is_measured() -> None:
    around = Around()
    around.take(header(), picture(0, key=True))
    limit = around.stream.template.limits.bitrate_bps // 8
    refusals = []
    for second in range(1, 60):
        around.take(picture(second * 1000, key=True), now=100.0 + second)
        around.connection.received_bytes += 2 * limit
        refusals.append(around.publisher.overdue(100.0 + second))
    first = next(refusal for refusal in refusals if refusal is not None)
    assert "max_bitrate" in first.words
    assert 15 < refusals.index(first) < 25


def test_another_codec_among_pictures_closes_only_who_does_not_come_back() -> None:
    around = Around()
    vvc = VideoReceived(40, b"\x90vvc1" + bytes(20))
    assert around.take(header(), picture(0, key=True), vvc, now=105.0) is None
    assert around.dropped == {"video of another codec": 1}
    assert around.take(picture(80), now=105.0) is None
    assert around.publisher.overdue(116.0) is None
    assert around.take(VideoReceived(40, b"\x12" + bytes(20)), now=116.0) is None
    assert around.publisher.overdue(125.9) is None
    refusal = around.publisher.overdue(126.0)
    assert refusal is not None
    assert "H.263" in refusal.words


def test_audio_that_no_player_knows_is_omitted_and_said() -> None:
    around = Around()
    around.take(AudioReceived(0, b"\x91fLaC" + bytes(20)))
    assert around.stream.status(100.0).audio == "omitted: FLAC audio"


@pytest.mark.parametrize(
    "body", [b"", b"\x00", b"\x17\x01\0\0\0\xff\xff\xff\xff", b"\x17\x00\0\0\0\x01\x02"]
)
def test_video_that_cannot_be_read_is_counted_and_closes_nothing(body: bytes) -> None:
    around = Around()
    assert around.take(VideoReceived(0, body)) is None
    assert sum(around.dropped.values()) == 1
    assert around.stream.state is StreamState.WAITING


def test_a_picture_that_cannot_be_read_is_a_gap_for_who_decodes() -> None:
    around = Around()
    around.take(header(), picture(0, key=True))
    around.stream.place(replace(ANSWER, request_id=1))
    broken = VideoReceived(40, b"\x27\x01\0\0\0\xff\xff\xff\xff")
    around.take(broken, picture(80))
    units = around.peers.workers[WORKER].of(AccessUnit)
    assert [unit.number for unit in units] == [0, 2]
    assert around.dropped == {"NAL units beyond their tag": 1}


def test_events_that_are_not_media_are_no_business_of_a_publisher() -> None:
    assert Around().take(PublishEnded(1, "deleteStream")) is None


def test_no_picture_in_time_closes_with_the_last_trouble() -> None:
    around = Around()
    around.take(picture(0, key=True), sound_header(), sound(5), now=109.0)
    assert around.publisher.overdue(109.9) is None
    refusal = around.publisher.overdue(110.0)
    assert refusal is not None
    assert refusal.words == ("no video within 10 s of the start: video before its sequence header")
    assert not refusal.is_lasting


def test_a_publisher_of_nothing_is_closed() -> None:
    refusal = Around().publisher.overdue(110.0)
    assert refusal is not None
    assert refusal.words == "no video within 10 s of the start"


def test_a_publisher_that_falls_silent_is_closed() -> None:
    around = Around()
    around.take(header(), picture(0, key=True), now=105.0)
    around.take(sound_header(), sound(10), now=110.0)
    assert around.publisher.overdue(124.9) is None
    refusal = around.publisher.overdue(125.0)
    assert refusal is not None
    assert refusal.words == "no media for 15 s (idle_timeout)"


def test_a_template_may_let_its_publishers_be_silent_for_longer_or_less() -> None:
    for idle_s, limit_s in ((600.0, 600.0), (2.0, 2.0), (None, 15.0)):
        around = Around()
        around.stream.template = replace(around.stream.template, idle_timeout_s=idle_s)
        around.take(header(), picture(0, key=True), now=105.0)
        assert around.publisher.overdue(105.0 + limit_s - 0.1) is None
        refusal = around.publisher.overdue(105.0 + limit_s)
        assert refusal is not None
        assert refusal.words == f"no media for {limit_s:g} s (idle_timeout)"


def test_audio_that_is_left_out_is_noted_once_with_what_would_do() -> None:
    around = Around()
    flac = AudioReceived(0, b"\x91fLaC" + bytes(10))
    around.take(header(), picture(0, key=True), flac, flac)
    (note,) = around.publisher.notices
    assert note.startswith("FLAC audio is omitted")
    assert "AAC" in note


def burst(begin_ms: int, end_ms: int) -> list[VideoReceived]:
    return [picture(at_ms, key=at_ms == 0) for at_ms in range(begin_ms, end_ms, 100)]


def test_a_publisher_faster_than_real_time_is_noted_once_and_has_to_wait() -> None:
    around = Around()
    around.take(header(), *burst(0, 5_100))
    assert (around.publisher.notices, around.publisher.waits_s) == ([], 0.0)
    around.take(*burst(5_100, 8_100), now=100.5)
    assert around.publisher.notices == [TOO_FAST]
    assert around.publisher.waits_s == pytest.approx(8.0 - 0.5 - KEPT_LEAD_S)
    around.take(picture(8_100), now=106.0)
    assert around.publisher.waits_s == pytest.approx(8.1 - 6.0 - KEPT_LEAD_S)
    around.take(picture(8_200), now=107.3)
    assert around.publisher.waits_s == 0.0
    around.take(*burst(8_300, 30_100), now=120.0)
    assert around.publisher.waits_s == pytest.approx(30.0 - 20.0 - KEPT_LEAD_S), "also later"
    around.take(picture(4_000_000), now=120.1)
    waits_s = 30.0 - 20.1 - KEPT_LEAD_S
    assert around.publisher.waits_s == pytest.approx(waits_s, abs=0.1), "a jump is no media"
    assert around.publisher.notices[-1] == TOO_FAST


def test_a_publisher_whose_clock_is_set_at_the_start_is_not_faster() -> None:
    around = Around()
    around.take(header(), picture(0, key=True), picture(9_000))
    around.take(picture(18_000), now=101.0)
    assert (around.publisher.notices, around.publisher.waits_s) == ([], 0.0)


def test_a_publisher_that_catches_up_with_the_clock_is_not_faster() -> None:
    around = Around()
    around.take(header(), picture(0, key=True))
    around.take(*burst(100, 9_000), now=108.0)
    around.take(*burst(9_000, 12_000), now=112.0)
    # held up on its way: what comes at once is no more than what is owed
    around.take(*burst(12_000, 40_000), now=140.0)
    around.take(*burst(40_000, 60_000), now=141.0)
    assert around.publisher.notices == []
    assert around.publisher.waits_s == 0.0


@pytest.mark.parametrize(("megabits", "seconds"), [(4, 0.2), (8, 0.1), (40, 0.0)])
def test_what_may_lie_unread_is_less_than_fills_the_connections_buffers(
    megabits: int, seconds: float
) -> None:
    around = Around()
    around.take(header(), picture(0, key=True))
    for number in range(1, 51):
        at_s = number / 10
        body = picture(int(at_s * 1000), size=megabits * 1_000_000 // 80)
        around.take(body, now=100.0 + at_s)
    assert around.publisher.batch_s(105.0) == seconds


def test_who_sends_less_by_now_may_be_lazy_again() -> None:
    around = Around()
    around.take(header(), picture(0, key=True))
    lazy_from = None
    for number in range(1, 101):
        at_s = number / 10
        body = picture(int(at_s * 1000), size=500_000 if at_s < 4 else 50_000)
        around.take(body, now=100.0 + at_s)
        if around.publisher.batch_s(100.0 + at_s):
            lazy_from = lazy_from or at_s
            continue
        assert lazy_from is None, "no to and fro"
    assert lazy_from is not None
    assert 4.0 < lazy_from < 9.0


def test_a_publisher_that_is_held_back_is_not_silent_before_it_is_read_again() -> None:
    around = Around()
    around.take(header(), *burst(0, 8_100))
    around.stream.place(replace(ANSWER, request_id=1))
    worker = around.peers.workers[WORKER]
    around.publisher.end_read(100.0)
    assert around.publisher.waits_s == pytest.approx(8.0 - KEPT_LEAD_S)
    around.stream.tick(107.9)
    assert not worker.of(StreamPause)
    around.stream.tick(108.1)
    (pause,) = worker.of(StreamPause)
    assert pause.reference.stream_ms == 8_000
    assert pause.reference.monotonic_s == pytest.approx(108.0 - KEPT_LEAD_S)
    around.take(picture(8_100), now=108.2)
    around.stream.tick(109.3)
    assert len(worker.of(StreamPause)) == 2, "it is held back no more"


def track(number: int, size: int) -> VideoReceived:
    return VideoReceived(0, b"\xa6\x01avc1" + bytes((number,)) + bytes(size))


def test_further_tracks_are_noted_once_each_and_named_with_their_rate() -> None:
    around = Around()
    around.take(header(), picture(0, key=True))
    for second in range(4):
        around.take(track(1, 500_000), track(2, 250_000), now=100.0 + second)
    assert around.publisher.notices == [
        "video track 1 is omitted: of video and of audio the first track is served",
        "video track 2 is omitted: of video and of audio the first track is served",
    ]
    around.publisher.look(104.0)
    status = around.stream.status(104.0)
    assert status.omitted == (
        "video track 1 (H.264, 4.0 Mbit/s)",
        "video track 2 (H.264, 2.0 Mbit/s)",
    )
    (notice,) = status.notices
    assert (notice.code, notice.is_fault) == ("tracks-omitted", False)
    assert "video track 1 (H.264, 4.0 Mbit/s)" in notice.words
    around.stream.arrive("192.0.2.2:5000", 110.0)
    assert around.stream.status(110.0).omitted == ()


def test_one_is_read_in_batches_by_all_that_comes_of_it() -> None:
    for bits_per_s, batch_s in ((2e6, BATCH_S), (8e6, BATCH_S / 2), (13.5e6, 0.0)):
        around = Around()
        around.connection.received_bytes = 1_000
        around.publisher = Publisher(around.stream, around.connection, SETTINGS, 100.0)
        around.take(header(), picture(0, key=True))
        found = 0.0
        for tick in range(100):
            around.connection.received_bytes += round(bits_per_s / 8 / 10)
            found = around.publisher.batch_s(100.0 + tick / 10)
        assert found == batch_s


def test_a_missing_audio_header_is_made_noted_and_replaced() -> None:
    around = Around()
    around.take(header(), picture(0, key=True))
    for number in range(60):
        at_s = number * 1024 / 48_000
        around.take(AudioReceived(round(at_s * 1000), aac_frame(b"\x21\x10\x04")), now=100.0 + at_s)
    words = "the sound has no AAC sequence header: one was made (AAC-LC 48 kHz 2ch)"
    assert around.publisher.notices == [words]
    status = around.stream.status(102.0)
    assert status.audio == "AAC-LC 48 kHz 2ch"
    (notice,) = status.notices
    assert (notice.code, notice.is_fault) == ("audio-header-made", True)
    assert notice.words.startswith(words)
    assert around.stream.audio_before is None, "what was made is no word of the publisher's"
    around.take(sound_header(), now=103.0)
    assert around.stream.status(103.0).notices == ()
    assert around.publisher.notices[1:] == [
        "its AAC sequence header has come, and is taken for the one that was made"
    ]
    assert around.stream.audio_before is not None


def notices_of(around: Around, now: float) -> dict[str, str]:
    return {n.code: n.words for n in around.stream.status(now).notices}


def test_what_was_decided_about_its_clock_is_a_notice_while_it_holds() -> None:
    around = Around()
    around.take(header(), picture(0, key=True))
    for frame in range(1, 60):
        around.take(picture(0), now=100 + frame * 0.04)
    words = notices_of(around, 103.0)["clock-stands"]
    assert "picture times stand still: stamped by arrival: set the encoder's" in words
    assert around.stream.status(103.0).source_clock, "programs find it where it was"


def test_omitted_sound_and_a_file_are_notices_too() -> None:
    around = Around()
    flac = b"\x91fLaC" + b"\x00" * 8
    around.take(header(), picture(0, key=True), AudioReceived(0, flac))
    assert "FLAC" in notices_of(around, 100.0)["audio-omitted"]
    for ms in range(40, 12_000, 40):
        around.take(picture(ms), now=100.0 + ms / 100_000)
    for second in range(1, 6):
        around.publisher.look(100.2 + second)
        around.stream.tick(100.2 + second)
    assert "ffmpeg -re" in notices_of(around, 106.0)["too-fast"]

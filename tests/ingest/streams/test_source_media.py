"""ingest/streams/source_media.py: what is sent of a publisher's media, and what is noted."""

from dataclasses import replace

from common.config.ladder import SOURCE, MadeWhen
from common.ipc.identity import Generation
from common.ipc.media_messages import SHARED, RenditionOpen, Tags
from common.media.units import AudioCodec, AudioConfig, DataUnit
from ingest.doctor.source_counts import SourceCounts
from ingest.streams.clock.timeline import Timeline
from ingest.streams.media_events import Metadata
from ingest.streams.source_format import SourceFormatReporter
from ingest.streams.source_gop import MAX_GOP_MS
from ingest.streams.source_media import SourceMedia
from tests.kit.ingest_ports import (
    ANSWER,
    STREAM,
    TEMPLATE,
    FakePeers,
    RememberingPort,
    audio_unit,
    config,
    video_unit,
)
from tests.kit.stream_rig import AAC


class Around:
    def __init__(self) -> None:
        self.peers = FakePeers()
        self.timeline = Timeline()
        reporter = SourceFormatReporter(lambda *_: None, lambda: 1, lambda _: None)
        self.media = SourceMedia(
            STREAM,
            Generation(1),
            self.peers,
            lambda: 100.0,
            self.timeline,
            reporter,
            SourceCounts(),
        )

    def live(self) -> "Around":
        self.media.go_live(config())
        self.media.egress.follow()
        self.media.egress.open_source(self.media.gop)
        return self

    @property
    def egress(self) -> RememberingPort:
        return self.peers.running[0]

    def renditions(self) -> list[tuple[str, int]]:
        return [(message.rendition, len(message.tags)) for message in self.egress.of(Tags)]


def test_every_kind_of_media_goes_out_and_is_kept_in_order() -> None:
    media = (around := Around().live()).media
    media.audio_configure(AAC)
    picture, sound, text = video_unit(0, key=True), audio_unit(5), DataUnit(6, b"text", 1.0)
    media.video(picture)
    media.audio_unit(sound)
    media.data(text)
    media.video(video_unit(40))
    media.end_read(1.0)
    assert around.renditions() == [(SHARED, 1), (SOURCE, 1), (SHARED, 2), (SOURCE, 1)]
    assert media.gop.replay()[1:] == [AAC, picture, sound, text, video_unit(40)]
    assert (media.throughput.frames, media.throughput.bytes) == (2, 25)


def test_before_the_first_picture_only_headers_wait() -> None:
    media = (around := Around()).media
    media.metadata(Metadata(b"meta"))
    media.audio_configure(AAC)
    media.audio_unit(audio_unit(0))
    media.data(DataUnit(0, b"text", 1.0))
    media.end_read(1.0)
    assert around.egress.sent == []
    around.live()
    assert media.gop.metadata == Metadata(b"meta")
    assert (media.audio, media.audio_config) == ("AAC-LC 48 kHz 2ch", AAC)
    media.restart()
    assert (media.audio, media.audio_config) == ("", None)
    media.audio_unit(audio_unit(0))
    media.end_read(10.0)
    assert around.renditions() == [], "another publisher's first picture is waited for"


def test_a_format_without_a_header_is_known_and_not_sent() -> None:
    media = (around := Around().live()).media
    media.video(video_unit(0, key=True))
    media.audio_configure(AudioConfig(AudioCodec.MP3))
    media.end_read(10.0)
    assert around.renditions() == [(SOURCE, 1)]
    assert media.audio == "MP3"


def test_omitted_audio_is_named_unless_there_is_other_audio() -> None:
    media = Around().live().media
    media.audio_omitted("Opus audio")
    assert media.audio == "omitted: Opus audio"
    media.audio_configure(AAC)
    media.audio_omitted("FLAC audio")
    assert media.audio == "AAC-LC 48 kHz 2ch"


def test_what_is_dropped_is_counted_by_its_reason() -> None:
    media = (around := Around().live()).media
    media.video(video_unit(0, key=True))
    media.video(video_unit(MAX_GOP_MS + 1))
    media.lose_picture("damaged")
    media.drop("empty")
    media.drop("empty")
    assert media.dropped() == {"GOP longer than the buffer": 1, "damaged": 1, "empty": 2}
    around.egress.full = True
    media.video(video_unit(MAX_GOP_MS + 40, key=True))
    assert media.dropped()["to egress"] == 1


def test_silence_goes_out_and_the_publishers_next_sound_comes_after_it() -> None:
    media = (around := Around().live()).media
    media.put_silence(audio_unit(5_000))
    media.end_read(10.0)
    assert around.renditions() == [(SHARED, 1)]
    assert around.timeline.audio_ms == 5_000
    assert media.gop.is_waiting, "it is no part of the GOP"


COLD = replace(ANSWER, template=replace(TEMPLATE, renditions_when=MadeWhen.DEMANDED, linger_ms=500))


def test_egress_gets_a_stream_that_nobody_watches_from_its_first_player_on() -> None:
    """Whatever of it he watches, and up to a keyframe after he has gone."""
    media = (around := Around().live()).media
    media.place(COLD)
    media.video(video_unit(0, key=True))
    assert not around.egress.numbers(SOURCE), "it rests from a keyframe on"
    media.video(video_unit(40))
    around.egress.watched.add(SOURCE)
    media.look_at_demand(100.0)
    media.video(video_unit(80))
    assert around.egress.numbers(SOURCE) == [0, 1, 2]
    around.egress.watched.clear()
    media.look_at_demand(100.4)
    media.video(video_unit(120, key=True))
    media.look_at_demand(100.6)
    media.video(video_unit(160))
    media.video(video_unit(200, key=True))
    media.video(video_unit(240))
    assert around.egress.numbers(SOURCE) == [0, 1, 2, 3, 4]
    assert [one.is_resting for one in around.egress.of(RenditionOpen)] == [False, True, True]
    media.place(replace(COLD, template=TEMPLATE, generation=Generation(2)))
    assert around.egress.numbers(SOURCE) == [0, 1, 2, 3, 4, 5, 6], "made always, from now on"


def test_of_a_cold_stream_nothing_is_made_before_its_turn() -> None:
    around = Around().live()
    media, turns = around.media, iter([False, True])
    media.place(COLD)
    media.video(video_unit(0, key=True))
    media._may_begin = lambda _: next(turns)
    around.egress.watched.add("360p")
    media.look_at_demand(100.0)
    assert media.worker.is_cold
    media.tick(100.1)
    assert not media.worker.is_cold


def test_of_a_gop_that_grows_too_long_egress_keeps_what_ingest_cannot() -> None:
    media = (around := Around().live()).media
    media.place(COLD)
    for at_ms in range(0, MAX_GOP_MS + 2_000, 500):
        media.video(video_unit(at_ms, key=at_ms == 0))
    count = len(range(0, MAX_GOP_MS + 2_000, 500))
    assert around.egress.numbers(SOURCE) == list(range(count))
    media.video(video_unit(30_000, key=True))
    assert around.egress.numbers(SOURCE) == list(range(count)), "it rests again"

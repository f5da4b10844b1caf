"""ingest/streams/source_media.py: what is sent of a publisher's media, and what is noted."""

from common.config.ladder import SOURCE
from common.ipc.identity import Generation
from common.ipc.media_messages import SHARED, Tags
from common.media.units import AudioCodec, AudioConfig, DataUnit
from ingest.doctor.source_counts import SourceCounts
from ingest.streams.clock.timeline import Timeline
from ingest.streams.media_events import Metadata
from ingest.streams.source_format import SourceFormatReporter
from ingest.streams.source_gop import MAX_GOP_MS
from ingest.streams.source_media import SourceMedia
from tests.kit.ingest_ports import (
    STREAM,
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

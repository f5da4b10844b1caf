"""What ingest sends, as egress understands it: the two sides of their messages in one process."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest

from common.codecs.aac import AudioSpecificConfig
from common.config.ladder import SOURCE
from common.config.settings import IngestSettings
from common.flv.audio import aac_sequence_header
from common.ipc.control_messages import Placement
from common.ipc.identity import BootId, ChildId, Generation, StreamId
from common.ipc.media_messages import StreamClosed, StreamOpen
from common.media.clock import ResumeTime
from common.rtmp.events import AudioReceived, VideoReceived
from egress.fanout.entries import AUDIO, VIDEO, Entry
from egress.streams.registry import Streams
from egress.streams.stream import Stream as EgressStream
from egress.streams.stream import StreamState
from ingest.streams.publisher import Publisher
from ingest.streams.stream import Stream
from ingest.streams.stream_context import StreamContext
from tests.kit.children import EGRESS0, EGRESS1
from tests.kit.egress import FlushReader
from tests.kit.ingest_ports import ANSWER, STREAM, FakePeers, header, picture, sound, sound_header
from tests.kit.registry_rig import FakeConnection

OTHER_FORMAT = AudioReceived(0, aac_sequence_header(AudioSpecificConfig(2, 44100, 2, 2).encode()))


class Egress:
    """An egress's streams, as a port of ingest's."""

    def __init__(self, child: ChildId, clock: "Clock") -> None:
        self.child = child
        self.boot_id = BootId(str(child))
        self._clock = clock
        self._streams = Streams()
        self._reader: FlushReader | None = None

    def send(self, message: object, payloads: Sequence[bytes] = ()) -> bool:
        if isinstance(message, StreamOpen):
            self._streams.open(message, self._clock.now)
        elif isinstance(message, StreamClosed):
            self._streams.close(message, self._clock.now)
        else:
            self._streams.take(message, payloads, self._clock.now)  # type: ignore[arg-type]
        return True

    send_batched = send

    def has_players(self, stream_id: StreamId, rendition: str) -> bool:
        return True

    @property
    def stream(self) -> EgressStream:
        stream = self._streams.get(STREAM)
        assert stream is not None
        return stream

    def take(self) -> list[Entry]:
        """What of the source goes to players."""
        rendition = self.stream.renditions[SOURCE]
        if self._reader is None or self._reader.rendition is not rendition:
            self._reader = FlushReader(rendition)
        return self._reader.take()


def times(entries: Sequence[Entry], kind: int) -> list[int]:
    """Of a kind's frames."""
    return [entry.dts_ms for entry in entries if entry.kind == kind and not entry.is_header]


class Clock:
    now = 100.0


class Ingest:
    """One stream at ingest, with its publisher."""

    def __init__(self, clock: Clock, *egresses: Egress, placed: Placement = ANSWER) -> None:
        self.peers = FakePeers()
        self.peers.running = list(egresses)  # type: ignore[arg-type]
        self._clock = clock
        requests = itertools.count(10)
        around = StreamContext(
            self.peers, lambda _: None, requests.__next__, lambda: clock.now, lambda: 0.0
        )
        self.stream = Stream(placed, around, since_unix=1.0)
        self.stream.arrive("192.0.2.1:5000", clock.now)
        settings = IngestSettings(idle_timeout_s=60.0)
        self.connection = FakeConnection()
        self.connection.accept_publish(7, self.stream.timeline, clock.now)
        self.publisher = Publisher(self.stream, self.connection, settings, clock.now)

    def take(self, *events: AudioReceived | VideoReceived) -> None:
        assert self.connection.demuxer is not None
        for event in self.connection.demuxer.take(events, self._clock.now):
            self.publisher.take(event, self._clock.now)
        self.stream.media.end_read(self._clock.now)

    def run(self, begin_ms: int, end_ms: int, *, lag_ms: int = 0, composition_ms: int = 0) -> None:
        """25 pictures and 50 audio frames a second in real time; the audio may lag behind."""
        start_s = self._clock.now - begin_ms / 1000
        for at_ms in range(begin_ms, end_ms, 40):
            self._clock.now = start_s + at_ms / 1000
            is_key = at_ms % 2000 == 0
            self.take(picture(at_ms, key=is_key, composition_ms=composition_ms))
            if at_ms >= lag_ms:
                self.take(sound(at_ms - lag_ms), sound(at_ms - lag_ms + 20))
        self.stream.tick(self._clock.now + 0.2)  # the last audio waits for no picture any more


def test_a_later_egress_gets_the_audio_of_the_gop_that_is_repeated() -> None:
    clock = Clock()
    ingest = Ingest(clock, Egress(EGRESS0, clock))
    ingest.take(sound_header(), header())
    ingest.run(0, 1000)
    late = Egress(EGRESS1, clock)
    ingest.peers.running.append(late)  # type: ignore[arg-type]
    ingest.stream.peers_changed(clock.now)
    ingest.run(1000, 1200)
    entries = late.take()
    assert times(entries, VIDEO) == [*range(0, 1200, 40)]
    assert times(entries, AUDIO) == [*range(0, 1200, 20)]
    assert entries[0].is_header
    assert entries[0].kind == AUDIO


def test_an_egress_that_wants_the_stream_again_soon_hears_nothing_twice() -> None:
    clock = Clock()
    egress = Egress(EGRESS0, clock)
    ingest = Ingest(clock, egress)
    ingest.take(sound_header(), header())
    ingest.run(0, 1000)
    ingest.peers.unwanted = [egress]  # type: ignore[list-item]
    ingest.stream.peers_changed(clock.now)
    ingest.run(1000, 1200)
    ingest.peers.unwanted = []
    ingest.stream.peers_changed(clock.now)
    ingest.run(1200, 1400)
    assert times(egress.take(), AUDIO) == [*range(0, 1400, 20)]


@pytest.mark.parametrize(("lag_ms", "composition_ms"), [(0, 0), (40, 80), (0, 120), (480, 0)])
def test_no_audio_is_lost_behind_a_header_that_comes_late_or_changes(
    lag_ms: int, composition_ms: int
) -> None:
    clock = Clock()
    egress = Egress(EGRESS0, clock)
    ingest = Ingest(clock, egress)
    ingest.take(header())
    ingest.run(0, 40, lag_ms=1_000_000, composition_ms=composition_ms)
    ingest.take(sound_header())
    ingest.run(40, 2000, lag_ms=lag_ms, composition_ms=composition_ms)
    ingest.take(OTHER_FORMAT)
    ingest.run(2000, 4000, lag_ms=lag_ms, composition_ms=composition_ms)
    begin_ms = 0 if lag_ms else 40
    assert times(egress.take(), AUDIO) == [*range(begin_ms, 4000 - lag_ms, 20)]
    assert egress.stream.renditions[SOURCE].dropped == 0


@pytest.mark.parametrize("has_audio", [True, False])
@pytest.mark.parametrize("knows_time", [True, False])
@pytest.mark.parametrize("begin_ms", [0, 600_000])
def test_a_publisher_that_is_back_at_another_ingest_goes_on_as_long_after_as_it_was_away(
    has_audio: bool, knows_time: bool, begin_ms: int
) -> None:
    clock = Clock()
    egress = Egress(EGRESS0, clock)
    ingest = Ingest(clock, egress)
    if has_audio:
        ingest.take(sound_header())
    ingest.take(header())
    ingest.run(begin_ms, begin_ms + 4000, lag_ms=0 if has_audio else 1_000_000)
    last_ms = times(egress.take(), VIDEO)[-1]
    clock_reference = ingest.stream.timeline.clock_reference
    assert clock_reference is not None
    clock.now += 1.0
    egress.send(StreamClosed(STREAM, Generation(1), "its ingest is gone", 10_000))
    clock.now += 2.0
    resume = ResumeTime(clock_reference, last_ms) if knows_time else None
    placed = replace(ANSWER, generation=Generation(2), resume_time=resume)
    other = Ingest(clock, egress, placed=placed)
    if has_audio:
        other.take(sound_header())
    other.take(header())
    other.take(picture(0, key=True))
    other.take(sound(0), picture(40))
    (back_ms, _) = times(egress.take(), VIDEO)
    assert last_ms + 3000 <= back_ms <= last_ms + 3020  # the audio was 20 ms ahead


@pytest.mark.parametrize("has_begun", [True, False])
def test_a_stream_is_kept_for_a_publisher_that_may_be_silent_for_long(has_begun: bool) -> None:
    clock = Clock()
    egress = Egress(EGRESS0, clock)
    ingest = Ingest(clock, egress)
    ingest.take(header())
    if has_begun:
        ingest.run(0, 1000, lag_ms=1_000_000)
        egress.take()
    began_s = clock.now
    while clock.now < began_s + 50.0:
        clock.now += 0.25
        ingest.stream.tick(clock.now)
        egress.stream.tick(clock.now)
    assert egress.stream.state is StreamState.LIVE
    ingest.take(picture(60_000, key=True))
    assert len(times(egress.take(), VIDEO)) == 1


def test_a_sign_of_life_is_no_time_that_another_ingest_has_to_be_behind() -> None:
    clock = Clock()
    egress = Egress(EGRESS0, clock)
    ingest = Ingest(clock, egress)
    ingest.take(header())
    ingest.run(0, 1000, lag_ms=1_000_000)
    last_ms = times(egress.take(), VIDEO)[-1]
    for _ in range(40):
        clock.now += 0.25
        ingest.stream.tick(clock.now)
    other = Ingest(clock, egress, placed=replace(ANSWER, generation=Generation(2)))
    other.take(header(), picture(0, key=True))
    assert times(egress.take(), VIDEO) == [last_ms + 10_000]

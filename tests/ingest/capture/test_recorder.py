"""When a capture is written, and what stands in it."""

from common.access.refusal import Refusal, RefusalReason
from common.capture.capture_file import encode, read_whole
from common.config.settings import CaptureSettings
from common.flv import amf0
from common.flv.audio import aac_frame
from common.ipc.identity import StreamId
from common.process.log import key_hash
from common.rtmp.events import AudioReceived, DataReceived, MetadataReceived, PublishRequested
from ingest.capture.recorder import AGAIN_S, MAX_REMEMBERED, NEXT_S, CaptureJob, Recorder
from ingest.streams.captures import CaptureResult, Done
from tests.kit.ingest_ports import header, picture
from tests.kit.registry_rig import FakeConnection

STREAM = StreamId("live/secret-cam")
OTHER = StreamId("live/other")
FAILED = Refusal(RefusalReason.FAILED, "no video within 10 s of the start")


class Sink:
    """Takes jobs, and writes nothing."""

    def __init__(self) -> None:
        self.jobs: list[CaptureJob] = []
        self.is_busy = False

    def put(self, job: CaptureJob, done: Done) -> None:
        self.jobs.append(job)
        done(CaptureResult("a path", 7, job.seconds))


class Rig:
    def __init__(self, **settings) -> None:
        self.sink = Sink()
        self.now = 100.0
        self.recorder = Recorder(self.sink, lambda: 1_700_000_000.0, lambda: self.now)
        self.recorder.configure(CaptureSettings(**settings), processes=1)
        self.results: list[CaptureResult] = []

    def publisher(self, stream: StreamId = STREAM, *, media: bool = True) -> FakeConnection:
        connection = FakeConnection()
        app, _, key = stream.partition("/")
        request = PublishRequested(
            7, 1, app, f"rtmp://host/{app}?token=tok-en", f"{key}?key=sesame", "record"
        )
        self.recorder.connected(connection, f"Encoder for {key}")
        self.recorder.requested(connection, request)
        self.recorder.begin(connection, stream)
        if media:
            self.recorder.add(connection, [header(), picture(0, key=True)], self.now)
        return connection

    def ask(self, stream: StreamId = STREAM, *, headers_only: bool = False) -> CaptureResult:
        self.recorder.ask(stream, "asked for", headers_only, self.results.append)
        return self.results[-1]

    def written(self):
        job = self.sink.jobs[-1]
        return read_whole(encode(job.info, job.captured()))


def test_who_asks_gets_all_that_came_with_its_times() -> None:
    rig = Rig()
    connection = rig.publisher()
    rig.now += 0.5
    rig.recorder.add(connection, [AudioReceived(40, aac_frame(b"sound"))], rig.now)
    assert rig.ask() == CaptureResult("a path", 7, 0.5)
    info, reads = rig.written()
    assert (info.app, info.key_hash, info.reason) == ("live", key_hash("secret-cam"), "asked for")
    assert (info.publish_type, info.created_unix) == ("record", 1_700_000_000.0)
    assert (info.headers_only, info.starts_late) == (False, False)
    assert [read.at_us for read in reads] == [0, 500_000]
    assert [read.unread_bytes for read in reads] == [None, None]
    messages = [message for read in reads for message in read.messages]
    assert [(m.type_id, m.timestamp) for m in messages] == [(9, 0), (9, 0), (8, 40)]
    assert messages[1].payload() == picture(0, key=True).payload


def test_no_key_stands_in_it() -> None:
    rig = Rig()
    connection = rig.publisher()
    metadata = amf0.encode("onMetaData", {"url": "live/secret-cam?key=sesame&token=tok-en"})
    data = amf0.encode("onTextData", "of secret-cam")
    rig.now += 1
    rig.recorder.add(connection, [MetadataReceived(0, metadata), DataReceived(0, data)], rig.now)
    rig.ask()
    info, reads = rig.written()
    text = repr(info) + repr(reads)
    for secret in ("secret-cam", "sesame", "tok-en"):
        assert secret not in text
    assert "live" in text
    payload = reads[1].messages[0].payload()
    assert len(payload) == len(metadata)
    assert amf0.decode_all(payload)[0] == "onMetaData"


def test_headers_only_leaves_the_pictures_out() -> None:
    rig = Rig()
    connection = rig.publisher()
    rig.now += 1
    rig.recorder.add(connection, [picture(40, size=500)], rig.now)
    rig.ask(headers_only=True)
    info, reads = rig.written()
    assert info.headers_only
    message = reads[1].messages[0]
    assert message.size == len(picture(40, size=500).payload)
    assert sum(len(part) for part in message.parts if isinstance(part, bytes)) < 40


def test_who_asks_is_answered_in_words_where_there_is_nothing() -> None:
    rig = Rig()
    assert "nobody publishes" in rig.ask().error
    rig.publisher(media=False)
    assert "no media yet" in rig.ask().error
    rig.publisher(OTHER)
    rig.sink.is_busy = True
    assert "try again" in rig.ask(OTHER).error
    off = Rig(memory_bytes=0)
    off.publisher()
    assert "capture.memory is 0" in off.ask().error
    assert not rig.sink.jobs


def test_a_publisher_that_is_closed_after_media_is_written() -> None:
    rig = Rig()
    rig.recorder.refused(rig.publisher(), FAILED)
    assert rig.written()[0].reason == f"closed: {FAILED.words}"
    rig = Rig()
    rig.recorder.refused(rig.publisher(media=False), FAILED)
    rig.recorder.refused(rig.publisher(), Refusal(RefusalReason.KICKED, "ended by the operator"))
    rig.recorder.broken(FakeConnection(), "ChunkError: no publisher of ours")
    assert not rig.sink.jobs
    rig.recorder.broken(rig.publisher(), "ChunkError: a chunk of nobody's")
    assert "ChunkError" in rig.written()[0].reason


def test_a_stream_is_written_by_itself_once_in_a_while() -> None:
    rig = Rig()
    rig.publisher()
    rig.publisher(OTHER)
    rig.recorder.write(STREAM, "10 decode errors")
    rig.recorder.write(OTHER, "10 decode errors")  # too soon after the first
    assert len(rig.sink.jobs) == 1
    rig.now += NEXT_S
    rig.recorder.write(STREAM, "10 decode errors")
    rig.recorder.write(OTHER, "10 decode errors")
    assert len(rig.sink.jobs) == 2
    rig.now += AGAIN_S
    rig.recorder.write(STREAM, "10 decode errors")
    assert len(rig.sink.jobs) == 3
    rig.ask()
    rig.ask()  # who asks waits for nobody
    assert len(rig.sink.jobs) == 5


def test_what_is_written_by_itself_holds_pictures_as_configured() -> None:
    rig = Rig(pictures=False)
    rig.publisher()
    rig.recorder.write(STREAM, "10 decode errors")
    assert rig.written()[0].headers_only


def test_what_is_known_of_streams_and_connections_is_bounded() -> None:
    rig = Rig()
    for count in range(MAX_REMEMBERED + 10):
        rig.now += NEXT_S
        stream = StreamId(f"live/cam{count}")
        connection = rig.publisher(stream)
        rig.recorder.write(stream, "trouble")
        rig.recorder.end(connection)
        rig.recorder.closed(connection)
        rig.sink.jobs.clear()
    recorder = rig.recorder
    assert len(recorder._written_s) == MAX_REMEMBERED
    assert not recorder._requests
    assert not recorder._publishers
    assert recorder._memory.size == 0


def test_several_ingests_share_the_memory() -> None:
    rig = Rig()
    rig.recorder.configure(CaptureSettings(memory_bytes=40_000), processes=4)
    connection = rig.publisher()
    for count in range(100):
        rig.recorder.add(connection, [picture(count, size=1000)], rig.now)
    assert rig.recorder._memory.size <= 10_000
    rig.ask()
    assert rig.written()[0].starts_late

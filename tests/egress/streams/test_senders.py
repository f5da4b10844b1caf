"""egress/streams/senders.py: who may send what of a stream."""

from dataclasses import replace

import pytest

from common.config.ladder import SOURCE, Template
from common.ipc.identity import ChildId, Generation, StreamId, gpu_worker
from common.ipc.media_messages import (
    SHARED,
    GenerationEnd,
    RenditionOpen,
    RenditionVideo,
    StreamClosed,
    StreamOpen,
    Tags,
)
from egress.streams.senders import MAX_GENERATIONS, Senders, StreamMessage
from tests.kit.children import CPU0, CPU1, EGRESS0, INGEST0, INGEST1

STREAM = StreamId("live/cam")
OTHER = StreamId("live/other")
ONE, TWO = Generation(1), Generation(2)
AUDIO = ChildId("audio")
ENCODER = ChildId("encoder")
GPU, OTHER_GPU = gpu_worker("GPU-1"), gpu_worker("GPU-2")


class By:
    """A connection of a child."""

    def __init__(self, child: ChildId | None) -> None:
        self.child = child
        self.worker: ChildId | None = None


def opened(generation: int, worker: ChildId | None, stream: StreamId = STREAM) -> StreamOpen:
    number = Generation(generation)
    return StreamOpen(stream, number, Template("live", ()), ("720p",), worker=worker)


def tags(rendition: str, generation: Generation = ONE, stream: StreamId = STREAM) -> Tags:
    return Tags(stream, generation, rendition, 0, ())


def headers(rendition: str, generation: Generation = ONE) -> RenditionOpen:
    return RenditionOpen(STREAM, generation, rendition, 0, RenditionVideo("h264", 2, 2))


@pytest.mark.parametrize(
    ("message", "who"),
    [
        (opened(9, CPU1), {INGEST0, INGEST1}),
        (StreamClosed(STREAM, ONE, "gone", 0), {INGEST0, INGEST1}),
        (tags(SOURCE), {INGEST0, INGEST1}),
        (tags(SHARED), {INGEST0, INGEST1}),
        (headers(SOURCE), {INGEST0, INGEST1}),
        (tags("720p"), {CPU0}),
        (tags("720p", TWO), {CPU1}),
        (tags("made up", TWO), {CPU1}),
        (headers("720p"), {CPU0}),
        (GenerationEnd(STREAM, ONE, "over"), {CPU0}),
        (GenerationEnd(STREAM, TWO, "over"), {CPU1}),
        (tags("720p", Generation(3)), set()),
        (tags("720p", ONE, OTHER), set()),
    ],
)
def test_an_ingest_opens_a_stream_and_its_worker_fills_it(
    message: StreamMessage, who: set[ChildId]
) -> None:
    senders = Senders()
    senders.opened(opened(1, CPU0))
    senders.opened(opened(2, CPU1))
    senders.opened(opened(2, None, OTHER))
    everybody = (INGEST0, INGEST1, CPU0, CPU1, EGRESS0, AUDIO)
    assert {child for child in everybody if senders.may_send(By(child), message)} == who
    assert senders.may_send(By(None), message)


def test_a_placement_that_changes_its_worker_is_the_new_ones() -> None:
    senders = Senders()
    senders.opened(opened(1, None))
    assert not senders.may_send(By(CPU0), tags("720p"))
    senders.opened(opened(1, CPU0))
    assert senders.may_send(By(CPU0), tags("720p"))
    senders.opened(opened(1, CPU1))
    assert not senders.may_send(By(CPU0), tags("720p"))


def test_an_ingest_that_does_not_say_lets_any_worker_send_and_nobody_else() -> None:
    senders = Senders()
    senders.opened(StreamOpen(STREAM, ONE, Template("live", ()), ("720p",)))
    assert senders.may_send(By(CPU1), tags("720p"))
    assert not senders.may_send(By(AUDIO), tags("720p"))


def test_what_is_remembered_of_a_stream_is_bounded_and_ends_with_it() -> None:
    senders = Senders()
    for generation in range(1, 3 + MAX_GENERATIONS):
        senders.opened(opened(generation, CPU0))
    kept = [n for n in range(20) if senders.may_send(By(CPU0), tags("720p", Generation(n)))]
    assert kept == list(range(3, 3 + MAX_GENERATIONS))
    senders.forget(STREAM)
    assert not senders.may_send(By(CPU0), tags("720p", Generation(kept[-1])))


def test_an_encoder_process_fills_by_each_connection_what_one_worker_may_fill() -> None:
    senders = Senders()
    senders.opened(opened(1, GPU))
    senders.opened(opened(2, OTHER_GPU, OTHER))
    ours, theirs = By(ENCODER), By(ENCODER)
    assert not senders.may_send(ours, tags("720p")), "it has not said for whom"
    assert not senders.may_send(ours, headers("720p"))
    assert senders.may_send(ours, replace(headers("720p"), worker=GPU))
    assert senders.may_send(ours, tags("720p"))
    assert senders.may_send(ours, GenerationEnd(STREAM, ONE, "over"))
    assert not senders.may_send(ours, tags("720p", TWO))
    assert not senders.may_send(ours, tags(SOURCE))
    # of another worker it is another connection
    assert not senders.may_send(theirs, replace(headers("720p"), worker=OTHER_GPU))
    assert not senders.may_send(theirs, tags("720p"))
    assert senders.may_send(theirs, tags("720p", TWO, OTHER))
    assert not senders.may_send(theirs, replace(headers("720p"), worker=GPU)), "one is enough"
    assert not senders.may_send(ours, tags("720p", TWO, OTHER))
    senders.forget(STREAM)
    assert not senders.may_send(ours, tags("720p"))


def test_an_encoder_process_sends_for_workers_alone() -> None:
    senders = Senders()
    senders.opened(opened(1, CPU0))
    for whom in (CPU1, INGEST0, ENCODER, None):
        sender = By(ENCODER)
        assert not senders.may_send(sender, replace(headers("720p"), worker=whom))
        assert not senders.may_send(sender, tags("720p"))
    senders.opened(StreamOpen(STREAM, TWO, Template("live", ()), ("720p",)))  # of an older ingest
    sender = By(ENCODER)
    assert senders.may_send(sender, replace(headers("720p", TWO), worker=GPU))
    assert senders.may_send(sender, tags("720p", TWO))


def test_a_rendition_that_is_a_track_of_the_publisher_comes_from_its_ingest() -> None:
    """What its worker makes all the same is nothing forbidden, but set aside."""
    senders = Senders()
    senders.opened(replace(opened(1, CPU0), passed=("720p",)))
    for message in (headers("720p"), tags("720p")):
        assert senders.may_send(By(INGEST0), message)
        assert not senders.is_stood_in_for(By(INGEST0), message)
        assert senders.may_send(By(CPU0), message)
        assert senders.is_stood_in_for(By(CPU0), message)
    assert not senders.may_send(By(INGEST0), tags("480p"))
    assert not senders.may_send(By(INGEST0), GenerationEnd(STREAM, ONE, "over"))
    assert not senders.is_stood_in_for(By(CPU0), tags("480p"))
    senders.opened(opened(1, CPU0))
    assert not senders.may_send(By(INGEST0), tags("720p"))
    assert not senders.is_stood_in_for(By(CPU0), tags("720p"))

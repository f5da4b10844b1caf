"""egress/streams/senders.py: who may send what of a stream."""

from dataclasses import replace

import pytest

from common.config.ladder import SOURCE, Template
from common.ipc.identity import ChildId, Generation, StreamId
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
    assert {child for child in everybody if senders.may_send(child, message)} == who
    assert senders.may_send(None, message)


def test_a_placement_that_changes_its_worker_is_the_new_ones() -> None:
    senders = Senders()
    senders.opened(opened(1, None))
    assert not senders.may_send(CPU0, tags("720p"))
    senders.opened(opened(1, CPU0))
    assert senders.may_send(CPU0, tags("720p"))
    senders.opened(opened(1, CPU1))
    assert not senders.may_send(CPU0, tags("720p"))


def test_an_ingest_that_does_not_say_lets_any_worker_send_and_nobody_else() -> None:
    senders = Senders()
    senders.opened(StreamOpen(STREAM, ONE, Template("live", ()), ("720p",)))
    assert senders.may_send(CPU1, tags("720p"))
    assert not senders.may_send(AUDIO, tags("720p"))


def test_what_is_remembered_of_a_stream_is_bounded_and_ends_with_it() -> None:
    senders = Senders()
    for generation in range(1, 3 + MAX_GENERATIONS):
        senders.opened(opened(generation, CPU0))
    kept = [n for n in range(20) if senders.may_send(CPU0, tags("720p", Generation(n)))]
    assert kept == list(range(3, 3 + MAX_GENERATIONS))
    senders.forget(STREAM)
    assert not senders.may_send(CPU0, tags("720p", Generation(kept[-1])))


def test_an_encoder_process_fills_what_it_opened_for_the_worker_of_the_placement() -> None:
    encoder, other = ChildId("encoder"), ChildId("encoder", index=1)
    senders = Senders()
    senders.opened(opened(1, CPU0))
    assert not senders.may_send(encoder, tags("720p"))
    assert not senders.may_send(encoder, headers("720p"))
    assert not senders.may_send(encoder, replace(headers("720p"), worker=CPU1))
    assert senders.may_send(encoder, replace(headers("720p"), worker=CPU0))
    assert senders.may_send(encoder, tags("720p"))
    assert senders.may_send(encoder, GenerationEnd(STREAM, ONE, "over"))
    assert not senders.may_send(other, tags("720p"))
    assert not senders.may_send(encoder, tags("720p", TWO))
    assert not senders.may_send(encoder, tags(SOURCE))
    senders.forget(STREAM)
    assert not senders.may_send(encoder, tags("720p"))

"""A publisher of an egress process that is a test's, and a player that reads words."""

from typing import ClassVar

from common.config.ladder import SOURCE
from common.config.overrides import NO_OVERRIDES
from common.ipc.identity import Generation
from common.ipc.media_messages import GenerationEnd, StreamClosed, TagHeader
from common.rtmp.blocking_client import RtmpPlayer
from common.rtmp.client import Ended
from common.rtmp.events import AudioReceived, MetadataReceived, VideoReceived
from tests.kit.egress import (
    STREAM,
    audio_header_tag,
    audio_tag,
    inter_tag,
    key_tag,
    rendition_open,
    shared,
    stream_open,
    tags,
)
from tests.kit.egress_process import EgressProcess
from tests.kit.waiting import patient, until


class Publisher:
    """The source and one rendition of the stream, as ingest and a worker send them.

    Players come by another socket, and what was pushed may come later: `frames` and `close` return
    when egress has it.
    """

    generation = 0  # a class's: each publisher of a module has one above the last
    here: ClassVar[list["Publisher"]] = []  # those that were not closed
    overrides = NO_OVERRIDES  # what its app has does not hold for it

    def __init__(self, egress: EgressProcess, start_ms: int = 0) -> None:
        Publisher.generation += 1
        self.egress = egress
        self.generation = Publisher.generation
        self.number = 0
        self.now_ms = start_ms
        Publisher.here.append(self)
        egress.push(stream_open(self.generation, ("360p",), overrides=self.overrides))
        for name in (SOURCE, "360p"):
            egress.push(*rendition_open(name, generation=self.generation))
        egress.push(*shared(audio_header_tag(start_ms), generation=self.generation))

    def frames(self, count: int, key_every: int = 5) -> None:
        for _ in range(count):
            is_key = self.number % key_every == 0
            tag = key_tag(self.now_ms) if is_key else inter_tag(self.now_ms)
            self.tag(tag)
            self.egress.push(*shared(audio_tag(self.now_ms), generation=self.generation))
            self.now_ms += 40
        until(lambda: self.egress.position(STREAM) == self.now_ms - 40, 10, "it has them", 0.001)

    def tag(self, tag: tuple[TagHeader, bytes]) -> None:
        for name in (SOURCE, "360p"):
            self.egress.push(*tags(self.number, tag, generation=self.generation, rendition=name))
        self.number += 1

    def close(self, hold_ms: int = 0) -> None:
        self.egress.push(
            StreamClosed(STREAM, Generation(self.generation), "the publisher has left", hold_ms)
        )
        self.egress.push(GenerationEnd(STREAM, Generation(self.generation), "the stream ended"))
        Publisher.here.remove(self)
        if not hold_ms and not Publisher.here:
            until(lambda: self.egress.position(STREAM) is None, 10, "it has ended", 0.001)


def word(event: object) -> str:
    """As helpers_egress.Screen, for the events of RtmpPlayer."""
    match event:
        case MetadataReceived():
            return "M"
        case VideoReceived(timestamp, payload):
            return "H" if payload[1] == 0 else f"v{timestamp}"
        case AudioReceived(timestamp, payload):
            return "h" if payload[1] == 0 else f"a{timestamp}"
        case Ended():
            return "end"
        case _:
            return "?"


def watch(player: RtmpPlayer, last: str) -> list[str]:
    """What it gets, up to the word `last`."""
    got: list[str] = []
    while last not in got:
        event = player.next_event(patient(10.0))
        assert event is not None, got
        if word(event) != "?":
            got.append(word(event))
    return got

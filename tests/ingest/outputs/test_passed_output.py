"""ingest/outputs/passed_output.py: a publisher's tracks on their way to the egresses."""

from common.ipc.identity import Generation
from common.ipc.media_messages import KEY, REPLAY, RenditionOpen, RenditionVideo, Tags
from ingest.outputs.outbox import EgressFeed
from ingest.outputs.passed_output import PassedOutput
from tests.kit.ingest_ports import EGRESS, STREAM, RememberingPort, config, video_unit

VIDEO = RenditionVideo("h264", 1920, 1080, 3_000_000, 25)
ONE = Generation(1)


class Around:
    def __init__(self) -> None:
        self.port = RememberingPort(EGRESS)
        self.feed = EgressFeed(STREAM, self.port)
        self.feed.takes_passed = {"1080p"}
        self.output = PassedOutput()
        self.output.begin("1080p", config(), VIDEO, [self.feed])

    def unit(self, dts_ms: int, *, key: bool = False, name: str = "1080p") -> None:
        unit = video_unit(dts_ms, key=key)
        self.output.unit(name, unit, [self.feed], ONE, 2.0, keeps_last=False)

    def flags(self) -> list[list[int]]:
        return [[entry.flags for entry in message.tags] for message in self.port.of(Tags)]

    def numbers(self) -> list[int]:
        return [message.first_number for message in self.port.of(Tags)]


def test_who_takes_a_rendition_gets_its_headers_and_then_its_pictures() -> None:
    around = Around()
    around.unit(0, key=True)
    around.unit(40)
    (opening,) = around.port.of(RenditionOpen)
    assert (opening.rendition, opening.first_number, opening.video) == ("1080p", 0, VIDEO)
    assert around.flags() == [[KEY | REPLAY], [0]]
    assert around.numbers() == [0, 1]


def test_who_comes_later_begins_with_the_last_gop() -> None:
    around = Around()
    around.feed.takes_passed = frozenset()
    around.unit(0, key=True)
    around.unit(40)
    assert around.port.sent == []
    around.feed.takes_passed = {"1080p"}
    around.unit(80)
    assert around.flags() == [[KEY | REPLAY, REPLAY, REPLAY]]


def test_other_headers_are_said_before_the_next_picture() -> None:
    around = Around()
    around.unit(0, key=True)
    around.output.begin("1080p", config(), VIDEO, [around.feed])
    around.unit(40)
    assert len(around.port.of(RenditionOpen)) == 1, "these are the same"
    around.output.begin("1080p", config(), VIDEO._replace(fps_num=30), [around.feed])
    around.unit(80, key=True)
    assert [opening.first_number for opening in around.port.of(RenditionOpen)] == [0, 2]


def test_what_is_passed_no_more_goes_nowhere() -> None:
    around = Around()
    around.unit(0, key=True)
    around.output.end("1080p", [around.feed])
    around.unit(40)
    around.unit(40, name="other")
    assert around.numbers() == [0]
    assert around.output.names == ()

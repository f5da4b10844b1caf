"""Numbers of tags, and what a new egress gets."""

from collections.abc import Sequence

from common.ipc.envelope import decode_frames
from common.ipc.identity import Generation, StreamId
from common.ipc.media_messages import KEY, REPLAY, RenditionOpen, RenditionVideo, TagHeader, Tags
from common.media.gop_buffer import MAX_GOP_BYTES, MAX_GOP_ENTRIES
from common.media.last_gops import MAX_BYTES
from worker.output.rendition_output import CodedTag, RenditionOutput

VIDEO = RenditionVideo("h264", 640, 360, 700_000, 30)
STREAM, GENERATION = StreamId("live/a"), Generation(3)


def tag(index: int, *, is_key: bool = False, body: bytes | None = None) -> CodedTag:
    return CodedTag(index * 40, is_key, 100 + index, body or b"body %d" % index)


def head(dts_ms: int, flags: int, received_s: float) -> TagHeader:
    return TagHeader(9, "h264", dts_ms, 0, flags, received_s)


def log() -> RenditionOutput:
    return RenditionOutput(STREAM, GENERATION, "360p")


def read(frames: Sequence[bytes]) -> tuple[object, list[bytes]]:
    message, payloads = decode_frames(frames)
    return message, list(payloads)


def test_a_rendition_begins_with_its_headers() -> None:
    message, payloads = read(log().begin(VIDEO, b"metadata", b"header"))
    assert message == RenditionOpen(STREAM, GENERATION, "360p", 0, VIDEO)
    assert payloads == [b"metadata", b"header"]


def test_tags_are_numbered_and_carry_when_their_unit_came_in() -> None:
    rendition = log()
    rendition.begin(VIDEO, b"m", b"h")
    rendition.append([tag(0, is_key=True)])
    message, payloads = read(rendition.append([tag(1), tag(2, is_key=True)]))
    assert message == Tags(
        STREAM,
        GENERATION,
        "360p",
        1,
        (head(40, 0, 101.0), head(80, KEY, 102.0)),
    )
    assert payloads == [b"body 1", b"body 2"]


def test_other_headers_open_the_rendition_again_at_the_next_number() -> None:
    rendition = log()
    rendition.begin(VIDEO, b"m", b"h")
    rendition.append([tag(0, is_key=True), tag(1)])
    message, payloads = read(rendition.begin(VIDEO, b"m2", b"h2"))
    assert message == RenditionOpen(STREAM, GENERATION, "360p", 2, VIDEO)
    assert payloads == [b"m2", b"h2"]
    # what was kept belongs to the other headers
    assert len(rendition.catch_up()) == 1


def test_a_new_egress_gets_headers_and_the_current_gop_and_then_what_all_get() -> None:
    rendition = log()
    assert rendition.catch_up() == []
    rendition.begin(VIDEO, b"m", b"h")
    for index in range(7):
        rendition.append([tag(index, is_key=index % 5 == 0)])
    opened, gop = map(read, rendition.catch_up())
    assert opened == (RenditionOpen(STREAM, GENERATION, "360p", 5, VIDEO), [b"m", b"h"])
    assert gop == (
        Tags(
            STREAM,
            GENERATION,
            "360p",
            5,
            (
                head(200, REPLAY | KEY, 105.0),
                head(240, REPLAY, 106.0),
            ),
        ),
        [b"body 5", b"body 6"],
    )
    message, _ = read(rendition.append([tag(7)]))
    assert isinstance(message, Tags)
    assert message.first_number == 7


def test_a_gop_beyond_its_bounds_is_not_kept() -> None:
    rendition = log()
    rendition.begin(VIDEO, b"m", b"h")
    rendition.append([tag(0, is_key=True)])
    megabyte = bytes(1024 * 1024)
    for index in range(1, MAX_GOP_BYTES // len(megabyte) + 2):
        rendition.append([tag(index, body=megabyte)])
    assert len(rendition.catch_up()) == 1
    rendition.append([tag(50)])
    assert len(rendition.catch_up()) == 1
    rendition.append([tag(51, is_key=True)])
    assert len(rendition.catch_up()) == 2
    for index in range(52, 52 + MAX_GOP_ENTRIES):
        rendition.append([tag(index)])
    assert len(rendition.catch_up()) == 1


def test_the_longest_gop_that_a_template_may_have_is_kept_whole() -> None:
    rendition = log()
    rendition.begin(VIDEO, b"m", b"h")
    longest = [tag(index, is_key=index == 0) for index in range(500)]  # 20 s
    rendition.append(longest)
    sent = [len(read(frames)[1]) for frames in rendition.catch_up()]
    assert sum(sent[1:]) == 500


def last_times(rendition: RenditionOutput, *, with_last: bool = True) -> list[int]:
    """The times of what a new egress is sent."""
    (opened, _), *rest = map(read, rendition.catch_up(with_last=with_last))
    assert isinstance(opened, RenditionOpen)
    expected, times = opened.first_number, []
    for message, payloads in rest:
        assert isinstance(message, Tags)
        assert message.first_number == expected
        assert len(message.tags) == len(payloads)
        assert all(entry.flags & REPLAY for entry in message.tags)
        expected += len(payloads)
        times += [entry.dts_ms // 40 for entry in message.tags]
    return times


def test_who_cuts_segments_gets_the_last_whole_gops_too() -> None:
    rendition = RenditionOutput(STREAM, GENERATION, "360p", keeps_last=lambda: True)
    rendition.begin(VIDEO, b"m", b"h")
    for index in range(22):
        rendition.append([tag(index, is_key=index % 5 == 0)])
    assert last_times(rendition) == list(range(5, 22)), "three, and the current one"
    assert last_times(rendition, with_last=False) == [20, 21]


def test_a_last_gop_is_kept_while_somebody_wants_it_and_it_is_no_larger_than_it_may_be() -> None:
    wants = True
    rendition = RenditionOutput(STREAM, GENERATION, "360p", keeps_last=lambda: wants)
    rendition.begin(VIDEO, b"m", b"h")
    rendition.append([tag(0, is_key=True), tag(1, body=bytes(MAX_BYTES))])
    rendition.append([tag(2, is_key=True)])
    assert last_times(rendition) == [2], "too large"
    rendition.append([tag(3, is_key=True)])
    assert last_times(rendition) == [2, 3]
    wants = False
    rendition.append([tag(4, is_key=True)])
    assert last_times(rendition) == [4]
    wants = True
    rendition.append([tag(5, is_key=True)])
    rendition.begin(VIDEO, b"m", b"other")
    rendition.append([tag(6, is_key=True)])
    assert last_times(rendition) == [6], "it was of other headers"

"""egress/streams/stream.py: holds and ends, and publishers that come back elsewhere."""

import pytest

from common.config.ladder import SOURCE
from common.ipc.identity import Generation
from common.ipc.media_messages import REPLAY, TagHeader
from egress.streams.stream import (
    END_MOST_S,
    END_WAIT_S,
    LATE_S,
    SILENT_S,
    StreamState,
)
from tests.kit.egress import (
    TEMPLATE,
    VIDEO_HEADER,
    audio_header_tag,
    audio_tag,
    data_tag,
    inter_tag,
    key_tag,
    rendition_open,
    shared,
    stream_open,
    tags,
)
from tests.kit.egress_stream import Output, close, state

REPEATED = (key_tag(5000), inter_tag(5040))


def test_without_hold_a_stream_ends_when_its_worker_has_sent_the_rest() -> None:
    output = Output()
    output.stream.close(close(0), 1.0)
    assert state(output.stream) is StreamState.ENDING
    assert output.stream.due_at() == 1.0 + END_WAIT_S
    output.end_generation(1, now=1.1)
    output.stream.tick(1.1)
    assert state(output.stream) is StreamState.ENDED
    assert output.stream.reason == "it left"


def test_what_a_worker_that_is_behind_still_sends_comes_before_the_end() -> None:
    output = Output(renditions=("720p",))
    output.take(rendition_open("720p"), tags(0, key_tag(0), rendition="720p"))
    output.stream.close(close(0), 1.0)
    now = 1.0
    for number in (1, 2, 3):
        now += 0.5  # it has no more of a core
        output.stream.tick(now)
        output.take(tags(number, inter_tag(40 * number), rendition="720p"), now=now)
    output.end_generation(1, now=now)
    output.stream.tick(now)
    assert state(output.stream) is StreamState.ENDED
    assert output.words("720p", now=now)[-1] == "v120"


def test_a_worker_that_is_far_behind_has_time_as_long_as_it_sends_but_not_for_ever() -> None:
    """The stream's end cut off whatever came later than 2 s."""
    output = Output(renditions=("720p",))
    output.take(rendition_open("720p"), tags(0, key_tag(0), rendition="720p"))
    output.stream.close(close(0), 1.0)
    now, number = 1.0, 0
    while state(output.stream) is StreamState.ENDING:
        now, number = now + END_WAIT_S - 0.1, number + 1
        output.take(tags(number, inter_tag(40 * number), rendition="720p"), now=now)
        output.stream.tick(now)
    assert now - (END_WAIT_S - 0.1) < 1.0 + END_MOST_S <= now
    assert output.words("720p", now=now)[-1] == f"v{40 * number}"


def test_sound_of_a_publisher_that_has_left_keeps_no_stream() -> None:
    output = Output()
    output.stream.close(close(0), 1.0)
    output.take(shared(audio_tag(0)), now=2.0)
    output.stream.tick(1.0 + END_WAIT_S)
    assert state(output.stream) is StreamState.ENDED


def test_a_worker_that_never_says_that_it_was_all_is_not_waited_for_longer() -> None:
    output = Output()
    output.stream.close(close(0), 1.0)
    output.stream.tick(0.99 + END_WAIT_S)
    assert state(output.stream) is StreamState.ENDING
    output.stream.tick(1.0 + END_WAIT_S)
    assert state(output.stream) is StreamState.ENDED


def test_the_last_sound_is_not_lost_with_the_video_that_it_waits_for() -> None:
    output = Output(renditions=("720p",))
    output.take(rendition_open("720p"), tags(0, key_tag(0), rendition="720p"))
    output.take(shared(audio_tag(0), audio_tag(21), data_tag(30)))
    assert output.words("720p") == ["M", "H", "v0", "a0"]
    output.stream.close(close(0), 0.0)
    output.end_generation(1, now=0.05)
    output.stream.tick(0.05)
    assert state(output.stream) is StreamState.ENDED
    assert output.words("720p", now=0.05) == ["a21", "d30"]


def test_without_renditions_a_stream_ends_at_once() -> None:
    stream = Output(renditions=()).stream
    stream.close(close(0), 1.0)
    stream.tick(1.0)
    assert state(stream) is StreamState.ENDED


def test_a_held_stream_ends_after_its_hold() -> None:
    stream = Output().stream
    stream.close(close(2000), 1.0)
    assert state(stream) is StreamState.HELD
    stream.tick(2.9 + LATE_S)
    assert state(stream) is StreamState.HELD
    stream.tick(3.0 + LATE_S)
    assert state(stream) is StreamState.ENDED


def test_a_held_stream_waits_for_its_ingests_word_that_the_hold_is_over() -> None:
    output = Output()
    output.take(rendition_open("720p"), tags(0, key_tag(0), rendition="720p"))
    output.stream.close(close(2000), 1.0)
    output.stream.tick(3.05)  # ingest looks ten times a second
    output.stream.open(stream_open(), 3.1)
    assert state(output.stream) is StreamState.LIVE
    assert output.stream.renditions["720p"].video_header == VIDEO_HEADER

    output.stream.close(close(2000), 4.0)
    output.stream.close(close(0), 6.1)
    output.end_generation(1, now=6.1)
    output.stream.tick(6.1)
    assert state(output.stream) is StreamState.ENDED


def test_a_publisher_who_returns_goes_on_with_a_header_and_a_keyframe() -> None:
    output = Output()
    output.take(rendition_open(SOURCE), tags(0, key_tag(0), inter_tag(40)))
    output.stream.close(close(2000), 1.0)
    output.words(SOURCE)
    output.stream.open(stream_open(generation=2), 2.0)
    output.take(
        rendition_open(SOURCE, first_number=2, generation=2),
        tags(2, inter_tag(1080), key_tag(1120), generation=2),
        now=2.0,
    )
    assert state(output.stream) is StreamState.LIVE
    assert output.words(SOURCE) == ["H", "v1120"]


def test_the_same_generation_may_be_opened_anew_after_a_hold() -> None:
    output = Output()
    output.take(rendition_open("720p"), tags(0, key_tag(0), rendition="720p"))
    output.stream.close(close(2000), 1.0)
    output.stream.open(stream_open(), 1.5)
    assert state(output.stream) is StreamState.LIVE
    output.take(tags(1, inter_tag(40), rendition="720p"))
    assert output.words("720p") == ["M", "H", "v0", "v40"]


def test_the_end_of_an_older_publisher_is_no_end() -> None:
    stream = Output().stream
    stream.open(stream_open(generation=2), 0.0)
    stream.close(close(0, generation=1), 1.0)
    assert state(stream) is StreamState.LIVE


def test_another_ingest_that_counts_time_anew_lands_behind_what_was_sent() -> None:
    output = Output()
    output.take(
        rendition_open(SOURCE),
        rendition_open("720p"),
        tags(0, key_tag(5000), inter_tag(5040)),
        tags(0, key_tag(5000), rendition="720p"),
        now=10.0,
    )
    output.words(SOURCE)
    output.words("720p")
    output.stream.open(stream_open(generation=2), 11.0)
    output.take(
        rendition_open(SOURCE, generation=2),
        tags(0, key_tag(0), inter_tag(40), generation=2),
        rendition_open("720p", generation=2),
        tags(0, key_tag(0), inter_tag(40), generation=2, rendition="720p"),
        now=11.5,
    )
    assert output.words(SOURCE) == ["H", "v0@6540", "v40@6580"]
    assert output.words("720p") == ["H", "v0@6540", "v40@6580"]
    assert output.stream.revoke(Generation(2)) == 40


def test_a_time_that_begins_anew_is_known_through_a_placement_before_its_first_picture() -> None:
    output = Output()
    output.take(rendition_open(SOURCE), tags(0, key_tag(5000), inter_tag(5040)), now=10.0)
    output.words(SOURCE)
    output.stream.open(stream_open(generation=2), 11.0)
    output.take(rendition_open(SOURCE, generation=2), now=11.0)
    output.stream.open(stream_open(generation=3), 11.2)  # its format asked for another device
    output.take(rendition_open(SOURCE, generation=3), tags(0, key_tag(0), generation=3), now=11.5)
    assert output.words(SOURCE) == ["H", "v0@6540"]


def test_another_ingest_that_repeats_what_was_sent_goes_on_in_its_time() -> None:
    output = Output()
    output.take(rendition_open(SOURCE), tags(0, key_tag(5000), inter_tag(5040)), now=10.0)
    output.words(SOURCE)
    output.stream.open(stream_open(generation=2), 11.0)
    again = [(header._replace(flags=header.flags | REPLAY), body) for header, body in REPEATED]
    output.take(
        rendition_open(SOURCE, generation=2),
        tags(0, *again, generation=2),
        tags(2, key_tag(6000), inter_tag(6040), generation=2),
        now=11.5,
    )
    assert output.words(SOURCE) == ["H", "v6000", "v6040"]


@pytest.mark.parametrize(
    "first", [audio_header_tag(5040), audio_header_tag(0), data_tag(5040), data_tag(0)]
)
@pytest.mark.parametrize(
    ("begins_ms", "goes_on_ms"),
    [
        (8060, 8060),  # it knows where the stream's time is
        (1000, 8080),  # it does not: it lands where that is by egress's clock
    ],
)
def test_another_ingests_time_is_that_of_its_first_picture_or_sound(
    first: tuple[TagHeader, bytes], begins_ms: int, goes_on_ms: int
) -> None:
    output = Output()
    output.take(rendition_open(SOURCE), tags(0, key_tag(5000), inter_tag(5040)), now=10.0)
    output.words(SOURCE)
    output.stream.open(stream_open(generation=2), 13.0)
    output.take(
        rendition_open(SOURCE, generation=2),
        shared(first, generation=2),
        now=13.0,
    )
    output.take(
        tags(0, key_tag(begins_ms), generation=2),
        shared(audio_tag(begins_ms + 5), generation=2),
        now=13.04,
    )
    sent = [tag.dts_ms for tag in output.stream.renditions[SOURCE].take().tags]
    assert sent[-2:] == [goes_on_ms, goes_on_ms + 5]


def test_a_stream_whose_ingest_is_silent_for_long_is_given_up() -> None:
    output = Output()
    output.take(rendition_open(SOURCE), tags(0, key_tag(0)), now=1.0)
    output.stream.tick(1.0 + SILENT_S)
    assert state(output.stream) is StreamState.HELD
    output.stream.tick(1.0 + SILENT_S + TEMPLATE.hold_ms / 1000)
    assert state(output.stream) is StreamState.ENDED


def test_a_silent_stream_lives_on_when_tags_come_again() -> None:
    output = Output()
    output.take(rendition_open(SOURCE), tags(0, key_tag(0)), now=1.0)
    output.stream.tick(1.0 + SILENT_S)
    output.take(tags(1, inter_tag(40)), now=1.5 + SILENT_S)
    assert state(output.stream) is StreamState.LIVE
    output.stream.tick(1.0 + SILENT_S + TEMPLATE.hold_ms / 1000)
    assert state(output.stream) is StreamState.LIVE
    assert output.words(SOURCE) == ["M", "H", "v0", "v40"]


@pytest.mark.parametrize("opens_before_its_start_is_known", [True, False])
@pytest.mark.parametrize("begin_ms", [0, 900_000])
def test_the_stream_of_another_host_goes_on_behind_what_players_saw(
    begin_ms: int, opens_before_its_start_is_known: bool
) -> None:
    """Only what is watched comes from there: the source is not. Its time is that host's own."""
    output = Output(renditions=("720p",))
    output.take(rendition_open("720p"), tags(0, key_tag(5000), rendition="720p"), now=1.0)
    assert output.words("720p", now=1.0)[-1] == "v5000"
    output.stream.close(close(10_000), 1.5)
    if opens_before_its_start_is_known:
        output.stream.open(stream_open(2, ("720p",), epoch_ms=None), 2.0)
    output.stream.open(stream_open(2, ("720p",), epoch_ms=777), 2.0)
    head, body = key_tag(begin_ms)
    key = head._replace(received_s=1.9, flags=head.flags | REPLAY), body
    opening = rendition_open("720p", generation=2)
    output.take(opening, tags(0, key, generation=2, rendition="720p"), now=2.0)
    words = output.words("720p", now=2.0)
    assert words[-1] == f"v{begin_ms}@5900"

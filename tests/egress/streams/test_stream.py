"""egress/streams/stream.py: generations, splice points, the shared tags of one stream."""

from dataclasses import replace

import pytest

from common.config.ladder import SOURCE
from common.flv import amf0
from common.ipc.identity import ChildId, Generation
from common.ipc.media_messages import REPLAY
from egress.fanout.entries import metadata_of
from egress.streams.next_generation import SPLICE_MOST_S, SPLICE_WAIT_S
from egress.streams.stream import (
    MAX_ABSENT,
    SILENT_S,
    Stream,
    StreamState,
)
from tests.kit.egress import (
    AUDIO_HEADER,
    VIDEO_HEADER,
    audio_header_tag,
    audio_tag,
    data_tag,
    give,
    inter_tag,
    key_tag,
    rendition_open,
    shared,
    stream_open,
    tags,
)
from tests.kit.egress_stream import Output, Sent, close, state


def test_a_stream_has_its_renditions_and_the_source() -> None:
    assert set(Output().stream.renditions) == {"720p", "360p", SOURCE}


def test_audio_and_data_reach_every_rendition() -> None:
    output = Output()
    output.take(
        rendition_open(SOURCE),
        rendition_open("720p"),
        tags(0, key_tag(0)),
        tags(0, key_tag(0), rendition="720p"),
        shared(audio_header_tag(0), audio_tag(0), data_tag(0)),
        tags(1, inter_tag(40), rendition="720p"),
    )
    assert output.words(SOURCE) == ["M", "H", "v0", "h", "a0", "d0"]
    assert output.words("720p") == ["M", "H", "v0", "h", "a0", "d0", "v40"]


def test_a_repeated_audio_header_is_not_passed_on() -> None:
    output = Output()
    output.take(tags(0, key_tag(0)), shared(audio_header_tag(0)))
    output.take(shared(audio_header_tag(5), audio_tag(5)))
    assert output.words(SOURCE)[-2:] == ["h", "a5"]


def test_the_renditions_metadata_tell_of_the_audio() -> None:
    output = Output()
    output.take(rendition_open("720p"), shared(audio_header_tag(0)))
    output.take(rendition_open("360p"))
    for name in ("720p", "360p"):
        rendition = output.stream.renditions[name]
        give(rendition, 0, key_tag(0))
        values = amf0.decode_all(metadata_of(rendition.gop_buffer.config))
        assert isinstance(values[1], dict)
        assert values[1]["audiocodecid"] == 10.0
    assert output.stream.renditions[SOURCE].script == b""


def test_a_rendition_that_is_made_later_has_the_audio_header() -> None:
    output = Output(renditions=("720p",))
    output.take(shared(audio_header_tag(0)))
    output.stream.open(stream_open(renditions=("720p", "360p")), 0.0)
    audio = output.stream.renditions["360p"].gop_buffer.config.audio
    assert audio is not None
    assert audio.body == AUDIO_HEADER


def test_a_lost_worker_is_followed_at_once_and_the_source_goes_on() -> None:
    output = Output()
    output.take(
        rendition_open(SOURCE),
        rendition_open("720p"),
        tags(0, key_tag(0), inter_tag(40)),
        tags(0, key_tag(0), inter_tag(40), rendition="720p"),
    )
    output.words(SOURCE)
    output.words("720p")
    assert output.stream.revoke(Generation(1)) == 40
    output.take(tags(2, inter_tag(80), rendition="720p"), tags(2, inter_tag(80)))
    output.stream.open(stream_open(generation=2), 0.0)
    output.take(
        rendition_open(SOURCE, first_number=3, generation=2),
        tags(3, inter_tag(120), generation=2),
        rendition_open("720p", generation=2),
        tags(0, key_tag(40), inter_tag(80), generation=2, rendition="720p"),
        tags(2, key_tag(120), generation=2, rendition="720p"),
        tags(3, inter_tag(120), rendition="720p"),
    )
    assert output.words(SOURCE) == ["v80", "v120"]
    assert output.words("720p") == ["H", "v120"]
    assert output.stream.stale == 2


def test_the_position_told_is_the_last_of_the_rendition_that_came_furthest() -> None:
    output = Output()
    output.take(
        rendition_open("720p"),
        rendition_open("360p"),
        tags(0, key_tag(0), inter_tag(40), inter_tag(80), rendition="720p"),
        tags(0, key_tag(0), rendition="360p"),
        tags(0, key_tag(0), inter_tag(40), inter_tag(80), inter_tag(120)),
    )
    assert output.stream.revoke(Generation(1)) == 80


def test_a_worker_cannot_put_the_time_where_the_next_ones_pictures_are_old() -> None:
    output = Output()
    output.take(
        rendition_open(SOURCE),
        rendition_open("720p"),
        tags(0, key_tag(0)),
        tags(0, key_tag(0), rendition="720p"),
        tags(1, key_tag(36_000_000), rendition="720p"),
    )
    assert output.stream.stale == 1
    output.stream.open(stream_open(generation=2), 0.0)
    output.take(
        rendition_open("720p", generation=2),
        tags(0, key_tag(40), rendition="720p", generation=2),
    )
    assert output.words("720p")[-1] == "v40"


def test_at_a_splice_the_new_renditions_wait_for_the_old_ones_end() -> None:
    output = Output()
    output.take(rendition_open("720p"), tags(0, key_tag(0), rendition="720p"))
    output.stream.open(stream_open(generation=2, splice_ms=80), 0.0)
    output.take(
        rendition_open("720p", generation=2),
        tags(0, key_tag(80), inter_tag(120), generation=2, rendition="720p"),
        tags(1, inter_tag(40), rendition="720p"),
        tags(2, inter_tag(80), rendition="720p"),
        tags(0, key_tag(0), inter_tag(40)),
    )
    assert output.words("720p") == ["M", "H", "v0", "v40"]
    assert output.words(SOURCE) == ["v0", "v40"]
    output.end_generation(1)
    output.take(tags(2, inter_tag(160), generation=2, rendition="720p"))
    assert output.words("720p") == ["H", "v80", "v120", "v160"]
    assert output.stream.generation == 2


def test_at_a_splice_the_wait_is_bounded() -> None:
    output = Output()
    output.take(rendition_open("720p"), tags(0, key_tag(0), rendition="720p"))
    output.stream.open(stream_open(generation=2, splice_ms=40), 0.0)
    assert output.stream.due_at() == SILENT_S
    output.take(
        rendition_open("720p", generation=2),
        tags(0, key_tag(40), generation=2, rendition="720p"),
        now=5.0,
    )
    assert output.stream.due_at() == 5.0 + SPLICE_WAIT_S
    output.stream.tick(5.0 + SPLICE_WAIT_S)
    assert output.words("720p") == ["M", "H", "v0", "H", "v40"]
    output.take(tags(1, inter_tag(40), rendition="720p"))
    assert output.words("720p") == []


def test_a_worker_that_is_behind_at_a_splice_is_waited_for_while_it_sends() -> None:
    output = Output()
    output.take(rendition_open("720p"), tags(0, key_tag(0), rendition="720p"))
    output.stream.open(stream_open(generation=2, splice_ms=4000), 0.0)
    output.take(
        rendition_open("720p", generation=2),
        tags(0, key_tag(4000), generation=2, rendition="720p"),
        now=5.0,
    )
    now, number = 5.0, 0
    while output.stream.generation == 1:
        now, number = now + SPLICE_WAIT_S * 0.9, number + 1
        output.take(tags(number, inter_tag(40 * number), rendition="720p"), now=now)
        output.stream.tick(now)
    assert 5.0 + SPLICE_MOST_S <= now < 5.0 + SPLICE_MOST_S + SPLICE_WAIT_S
    assert output.words("720p", now=now)[-2:] == ["H", "v4000"]


def test_at_a_splice_the_source_does_not_wait() -> None:
    output = Output()
    output.take(rendition_open(SOURCE), tags(0, key_tag(0)))
    output.stream.open(stream_open(generation=2, splice_ms=80), 0.0)
    output.take(
        tags(1, inter_tag(40)),
        tags(2, inter_tag(80), generation=2),
        tags(3, inter_tag(120)),
    )
    assert output.words(SOURCE) == ["M", "H", "v0", "v40", "v80", "v120"]
    output.end_generation(1)
    output.take(tags(4, inter_tag(160)), tags(5, inter_tag(200), generation=2))
    assert output.words(SOURCE) == ["v160", "v200"]


def test_a_splice_that_is_announced_twice_is_one() -> None:
    output = Output()
    message = stream_open(generation=2, splice_ms=80)
    output.stream.open(message, 0.0)
    output.stream.open(message, 0.0)
    assert output.stream.generation == 1


def test_renditions_that_change_after_an_announcement_are_those_of_the_new_one() -> None:
    output = Output()
    output.stream.open(stream_open(generation=2, splice_ms=80), 0.0)
    output.stream.open(stream_open(generation=2, renditions=("360p",)), 0.0)
    assert "720p" in output.stream.renditions, "up to the splice point"
    output.end_generation(1)
    assert set(output.stream.renditions) == {"360p", SOURCE}


def test_a_publisher_that_is_back_before_a_splice_is_back() -> None:
    output = Output()
    output.take(rendition_open(SOURCE), tags(0, key_tag(0), inter_tag(40)))
    output.stream.open(stream_open(generation=2, splice_ms=2000), 0.0)
    output.stream.close(close(10_000, generation=2), 0.5)
    output.stream.open(stream_open(generation=2), 0.6)
    assert state(output.stream) is StreamState.LIVE
    output.take(tags(2, inter_tag(80), key_tag(120), generation=2))
    assert output.words(SOURCE) == ["M", "H", "v0", "v40", "H", "v120"]
    assert output.stream.generation == 1, "up to the splice point"
    output.end_generation(1)
    assert output.stream.generation == 2
    output.take(tags(4, inter_tag(9_900), generation=2), now=10.0)
    output.stream.tick(10.6)
    assert state(output.stream) is StreamState.LIVE


def test_a_lost_new_generation_is_not_switched_to_with_its_tags() -> None:
    output = Output()
    output.take(rendition_open("720p"), tags(0, key_tag(0), rendition="720p"))
    output.stream.open(stream_open(generation=2, splice_ms=80), 0.0)
    output.take(
        rendition_open("720p", generation=2),
        tags(0, key_tag(80), generation=2, rendition="720p"),
    )
    assert output.stream.revoke(Generation(2)) == 0
    output.end_generation(1)
    assert output.words("720p") == ["M", "H", "v0"]


def test_tags_of_an_ended_generation_are_stale() -> None:
    output = Output()
    output.stream.open(stream_open(generation=2), 0.0)
    output.take(rendition_open("720p"), tags(0, key_tag(0), rendition="720p"), tags(0, key_tag(0)))
    assert output.words("720p") == []
    assert output.words(SOURCE) == []
    assert output.stream.stale == 3


def test_only_known_generations_are_known() -> None:
    stream = Output().stream
    assert stream.knows(Generation(1))
    assert not stream.knows(Generation(2))
    stream.open(stream_open(generation=2, splice_ms=80), 0.0)
    assert stream.knows(Generation(2))


def test_renditions_that_a_placement_has_no_more_are_gone() -> None:
    output = Output()
    gone = output.stream.open(stream_open(generation=2, renditions=("360p",)), 0.0)
    assert [rendition.name for rendition in gone] == ["720p"]
    assert set(output.stream.renditions) == {"360p", SOURCE}
    output.take(tags(0, key_tag(0), generation=2, rendition="720p"))
    assert output.stream.stale == 1


@pytest.mark.parametrize("is_announced", [True, False])
def test_the_sound_before_the_first_picture_of_one_that_rested_comes_with_it(
    is_announced: bool,
) -> None:
    """Whether its worker or its ingest was the first to tell of it."""
    output = Output(("720p",) if is_announced else ())
    message, payloads = rendition_open("720p")
    output.take((replace(message, is_resting=True), payloads))
    output.stream.open(stream_open(renditions=("720p",)), 0.0)
    output.take(shared(*map(audio_tag, range(0, 3_000, 20))))
    output.stream.renditions["720p"].advance(60.0)
    output.take(rendition_open("720p"), tags(0, key_tag(2_000), rendition="720p"))
    output.take(tags(1, inter_tag(2_040), rendition="720p"))
    words = output.words("720p")
    assert words[words.index("v2000") :] == ["v2000", "a2020", "a2040", "v2040"]


def test_a_player_of_a_source_that_rested_begins_where_it_comes_again() -> None:
    output = Output()
    output.take(rendition_open(SOURCE), shared(audio_header_tag(0)), tags(0, key_tag(0)))
    output.take(shared(audio_tag(30), audio_tag(50)))
    message, _ = rendition_open(SOURCE, first_number=1)
    output.take((replace(message, is_resting=True), (b"", b"")))
    source = output.stream.renditions[SOURCE]
    assert not source.has_start
    assert output.words(SOURCE)[-3:] == ["v0", "a30", "a50"]
    again = [
        (entry._replace(flags=entry.flags | REPLAY), body)
        for entry, body in (key_tag(60_000), inter_tag(60_040))
    ]
    output.take(shared(audio_tag(60_010)), tags(1, *again), tags(3, inter_tag(60_080)), now=60.0)
    assert source.has_start
    output.take(shared(audio_tag(60_090)), tags(4, inter_tag(60_120)), now=60.1)
    words = output.words(SOURCE, 60.1)
    pictures = [word for word in words if word.startswith("v")]
    assert pictures == ["v60000", "v60040", "v60080", "v60120"]
    assert words[words.index("v60000") :] == [
        "v60000",
        "a60010",
        *pictures[1:3],
        "a60090",
        "v60120",
    ]
    assert source.dropped == 0


def comes_back(*meanwhile: Sent, first_number: int) -> Output:
    """720p begins, is gone by its ingest's word, and is announced again; then come pictures."""
    output = Output()
    output.take(rendition_open("720p"), tags(0, key_tag(0), rendition="720p"))
    gone = output.stream.open(stream_open(renditions=("360p",)), 0.0)
    assert [rendition.name for rendition in gone] == ["720p"]
    output.take(*meanwhile)
    output.stream.open(stream_open(), 0.0)
    pictures = inter_tag(80), key_tag(120), inter_tag(160)
    output.take(tags(first_number, *pictures, rendition="720p"))
    return output


def test_a_rendition_that_comes_back_begins_with_what_its_worker_said_before_its_ingest() -> None:
    header = VIDEO_HEADER + b"other"
    opened = rendition_open("720p", first_number=1, header=header)
    output = comes_back(opened, tags(1, key_tag(40), rendition="720p"), first_number=2)
    rendition = output.stream.renditions["720p"]
    rendition.advance(0.0)
    assert rendition.has_start
    config = rendition.gop_buffer.config
    assert config.video is not None
    assert config.video.body == header
    assert config.script is not None
    assert config.script.body


def test_a_rendition_that_was_gone_for_a_moment_goes_on_with_the_headers_it_had() -> None:
    output = comes_back(first_number=1)
    rendition = output.stream.renditions["720p"]
    rendition.advance(0.0)
    assert rendition.has_start
    config = rendition.gop_buffer.config
    assert config.video is not None
    assert config.video.body == VIDEO_HEADER
    assert config.script is not None
    assert config.script.body


def test_a_rendition_of_the_next_generation_is_not_counted_from_the_one_befores_number() -> None:
    output = Output()
    output.take(rendition_open("720p"), tags(0, key_tag(0), rendition="720p"))
    output.stream.open(stream_open(renditions=("360p",)), 0.0)
    output.take(rendition_open("720p", first_number=900))  # its encoder is there again
    output.stream.open(stream_open(generation=2), 0.0)
    output.take(
        rendition_open("720p", generation=2),
        tags(0, key_tag(80), inter_tag(120), generation=2, rendition="720p"),
    )
    assert output.words("720p") == ["M", "H", "v80", "v120"]


def test_a_rendition_that_the_next_generation_lacks_leaves_it_no_headers() -> None:
    output = Output()
    output.take(rendition_open("720p", first_number=900), tags(900, key_tag(0), rendition="720p"))
    output.stream.open(stream_open(generation=2, renditions=("360p",)), 0.0)
    output.stream.open(stream_open(generation=2), 0.0)
    assert not output.stream.renditions["720p"].video_header


def test_the_headers_of_a_rendition_that_waits_are_replaced_however_many_wait() -> None:
    output = Output(renditions=())
    output.take(*(rendition_open(f"{i}p") for i in range(MAX_ABSENT)))
    header = VIDEO_HEADER + b"other"
    output.take(rendition_open("0p", header=header), rendition_open("one more"))
    output.stream.open(stream_open(renditions=("0p", "one more")), 0.0)
    assert output.stream.renditions["0p"].video_header == header
    assert not output.stream.renditions["one more"].video_header


def from_another_host() -> Output:
    """A stream that a relay brings, up to 40 ms."""
    output = Output()
    output.stream = Stream(replace(stream_open(), worker=ChildId("relay")), 0.0)
    output.take(
        *(rendition_open(name) for name in (SOURCE, "720p")),
        tags(0, key_tag(0), inter_tag(40)),
        tags(0, key_tag(0), inter_tag(40), rendition="720p"),
        shared(audio_header_tag(0), audio_tag(0), audio_tag(40)),
    )
    return output


def begin_here(output: Output) -> None:
    """This host has it from 120 ms on."""
    output.stream.open(stream_open(generation=2), 0.0)
    output.take(
        rendition_open(SOURCE, generation=2),
        rendition_open("720p", generation=2),
        tags(0, key_tag(120), generation=2),
        tags(0, key_tag(120), generation=2, rendition="720p"),
        shared(audio_header_tag(0), audio_tag(120), generation=2),
    )


@pytest.mark.parametrize("says_so", [True, False])
def test_a_stream_of_another_host_that_goes_on_here_is_taken_from_both(says_so: bool) -> None:
    output = from_another_host()
    begin_here(output)
    output.take(
        tags(2, inter_tag(80)), tags(2, inter_tag(80), rendition="720p"), shared(audio_tag(80))
    )
    if says_so:
        output.end_generation(1)
    else:
        assert output.stream.due_at() == SPLICE_WAIT_S
        output.stream.tick(SPLICE_WAIT_S)
    for name in (SOURCE, "720p"):
        words = output.words(name, 9.0)
        for kind in "va":
            times = [word for word in words if word[0] == kind]
            assert times == [f"{kind}{at}" for at in (0, 40, 80, 120)]
    output.take(tags(3, inter_tag(120)), tags(1, inter_tag(160), generation=2))
    assert output.words(SOURCE, 9.0) == ["v160"]
    assert output.stream.stale == 1


@pytest.mark.parametrize("is_sent", [True, False])
def test_a_stream_that_goes_to_another_host_is_taken_up_to_its_worker_s_last(is_sent: bool) -> None:
    output = Output()
    output.take(rendition_open("720p"), tags(0, key_tag(0), inter_tag(40), rendition="720p"))
    output.stream.close(close(10_000), 0.0)
    if is_sent:
        output.end_generation(1)
    output.stream.open(replace(stream_open(generation=2), worker=ChildId("relay")), 0.0)
    assert output.stream.generation == (2 if is_sent else 1)
    output.take(
        rendition_open("720p", generation=2),
        tags(0, key_tag(120), generation=2, rendition="720p"),
        tags(2, inter_tag(80), rendition="720p"),
    )
    output.end_generation(1)
    words = [word for word in output.words("720p", 9.0) if word[0] == "v"]
    assert words == ["v0", "v40", *([] if is_sent else ["v80"]), "v120"]
    assert state(output.stream) is StreamState.LIVE


def test_one_whose_time_begins_anew_here_does_not_wait() -> None:
    output = from_another_host()
    output.stream.open(stream_open(generation=2, epoch_ms=5_000), 0.0)
    assert output.stream.generation == 2


def test_one_that_another_host_has_held_does_not_wait() -> None:
    output = from_another_host()
    output.stream.close(close(5_000), 0.0)
    output.stream.open(stream_open(generation=2), 0.0)
    assert output.stream.generation == 2


def test_nothing_more_is_to_come_of_a_publisher_that_left_when_all_was_sent() -> None:
    output = Output()
    assert not output.stream.is_finished
    output.stream.close(close(5_000), 0.0)
    assert not output.stream.is_finished
    output.end_generation(1)
    assert output.stream.is_finished

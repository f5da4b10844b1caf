"""egress/streams/stream.py: renditions that are tracks of the publisher."""

from dataclasses import replace

from common.ipc.identity import Generation
from tests.kit.egress import inter_tag, key_tag, rendition_open, stream_open, tags
from tests.kit.egress_stream import Output


def test_a_rendition_goes_over_to_the_publishers_track_and_back_at_keyframes() -> None:
    """Its numbers and headers are others then; the times go on."""
    output = Output()
    output.take(rendition_open("720p"), tags(0, key_tag(0), rendition="720p"))
    assert output.words("720p")[-1] == "v0"
    output.stream.open(replace(stream_open(), passed=("720p",)), 0.0)
    output.take(
        rendition_open("720p", first_number=0),
        tags(0, inter_tag(40), key_tag(80), inter_tag(120), rendition="720p"),
    )
    assert output.words("720p")[-2:] == ["v80", "v120"]
    # of the worker, meanwhile: what it makes, and that it rests
    output.stream.set_aside(*rendition_open("720p", first_number=3))
    output.stream.open(stream_open(), 0.0)
    output.take(tags(3, inter_tag(160), key_tag(200), rendition="720p"))
    assert output.words("720p")[-1] == "v200"


def test_a_passed_rendition_goes_on_with_another_placement_of_its_stream() -> None:
    output = Output()
    output.stream.open(replace(stream_open(), passed=("720p",)), 0.0)
    output.take(rendition_open("720p"), tags(0, key_tag(0), rendition="720p"))
    moved = replace(stream_open(generation=2, splice_ms=60), passed=("720p",))
    output.stream.open(moved, 0.0)
    output.take(tags(1, inter_tag(40), generation=2, rendition="720p"))
    output.end_generation(1)
    output.take(tags(2, inter_tag(80), generation=2, rendition="720p"))
    assert output.words("720p")[-3:] == ["v0", "v40", "v80"]
    assert output.stream.revoke(Generation(2)) is None, "a worker has sent nothing"

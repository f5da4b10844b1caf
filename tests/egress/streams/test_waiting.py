"""egress/streams/waiting.py: who waits for a rendition, and who is called when."""

from egress.streams.waiting import WaitingViewers
from tests.kit.egress import STREAM


def test_who_waits_is_called_for_its_rendition_and_for_its_stream() -> None:
    waiting, called = WaitingViewers(), list[str]()
    waiting.add(STREAM, "720p", 1, lambda: called.append("first"))
    waiting.add(STREAM, "360p", 2, lambda: called.append("second"))
    waiting.on_start(STREAM, "720p")
    assert called == ["first"]
    waiting.on_stream(STREAM)
    assert called == ["first", "first", "second"]
    assert (len(waiting), waiting.count(STREAM)) == (2, 2)
    assert waiting.renditions(STREAM) == {"720p", "360p"}


def test_who_is_served_while_it_is_called_waits_no_more() -> None:
    waiting, called = WaitingViewers(), list[int]()

    def serve(viewer: int) -> None:
        called.append(viewer)
        waiting.remove(STREAM, viewer)

    for viewer in (1, 2):
        waiting.add(STREAM, "720p", viewer, lambda viewer=viewer: serve(viewer))  # type: ignore[misc]  # mypy reads no default of a lambda
    assert STREAM in waiting
    assert waiting
    waiting.on_start(STREAM, "720p")
    waiting.on_start(STREAM, "720p")
    assert called == [1, 2]
    assert STREAM not in waiting
    assert not waiting
    waiting.remove(STREAM, 1)

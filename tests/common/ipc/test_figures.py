"""The farm's figures, across JSON, from an older or a newer supervisor."""

import json
from typing import Any

import pytest

from common.ipc.figures import ChildFigures, Delays, FarmFigures, read_figures
from tests.kit.farm_figures import figures_of
from tests.kit.status_pages import farm_document, stream_row


def whole() -> FarmFigures:
    causes = [{"what": "play", "reason": "full", "cause": "", "count": 3}]
    figures = figures_of(farm_document([stream_row()]) | {"refused_causes": causes})
    delays = [Delays("encode", "720p", [1, 2], 0.5)]
    worker = ChildFigures("worker:cpu:0", "worker", "b1", True, 0, 1, 0.0, {}, delays)
    return figures._replace(children=[worker])


def crossed(figures: FarmFigures) -> Any:
    return json.loads(json.dumps(figures))


def test_what_is_read_is_what_was_written() -> None:
    found = read_figures(crossed(whole()))
    assert json.dumps(found) == json.dumps(whole())
    (stream,), (child,) = found.streams, found.children
    assert stream.received is not None
    assert stream.received.frames == 900
    assert stream.served[0].rendition == stream.renditions[0].name == "source"
    assert child.delays[0].rendition == "720p"


def test_a_stream_that_nobody_sends_or_makes_is_read() -> None:
    (stream,) = whole().streams
    bare = stream._replace(received=None, made=None, renditions=[], served=[])
    (found,) = read_figures(crossed(whole()._replace(streams=[bare]))).streams
    assert (found.received, found.made) == (None, None)


def test_what_a_newer_supervisor_adds_is_left_alone() -> None:
    def longer(value: Any) -> Any:
        """Every row with a field behind its others."""
        if not isinstance(value, list) or not value or not isinstance(value[0], str):
            return value
        return [longer_rows(part) for part in value] + ["new"]

    def longer_rows(value: Any) -> Any:
        if isinstance(value, list) and value and isinstance(value[0], list):
            return [longer(row) for row in value]
        return longer(value) if isinstance(value, list) and len(value) > 2 else value

    assert json.dumps(read_figures(longer(crossed(whole())))) == json.dumps(whole())


@pytest.mark.parametrize("nothing", [{}, [], ["0.1.0"], {"a": 1}, 5, None])
def test_what_are_no_figures_is_said(nothing: Any) -> None:
    with pytest.raises((TypeError, KeyError)):
        read_figures(nothing)

"""The log of a real farm: a stream is followed by its label, to its closing line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.process.log import stream_label
from tests.kit.clients import Publisher
from tests.kit.clips import ClipSpec
from tests.kit.farm import TFARM, Farm
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
LABEL = stream_label("live/followed")


def test_a_stream_is_followed_from_publish_to_its_closing_line(clip: MakeClip) -> None:
    with Farm(supervisor=(TFARM, "supervisor", "--log-format", "json")) as farm:
        with Publisher(farm.url("followed"), clip(ClipSpec(seconds=8.0))):
            farm.wait_stream("followed")
            until(lambda: farm.streams()["followed"]["frames"] > 25, 15, "a second", every=0.2)
        farm.wait_log("stream summary")
        last = Publisher(farm.url("last"), clip(ClipSpec(seconds=8.0)), loop=True)
        last.__enter__()
        farm.wait_stream("last")
        log = farm.log_path.open()
        lines: list[dict[str, Any]] = [json.loads(line) for line in farm.log().splitlines()]
    last.stop()
    with log:
        closing = [json.loads(line) for line in log if "stream summary" in line]
    reasons = {line["stream"]: line["reason"] for line in closing}
    assert reasons[stream_label("live/last")] == "the server is stopping", "ingest's last words"
    own = [line for line in lines if line.get("stream") == LABEL]
    events = [line["event"] for line in own]  # of several processes: in no strict order
    assert events[:2] == ["stream placed", "publish started"]
    assert {"session open", "stream open", "stream ended"} <= set(events)
    (summary,) = (line for line in own if line["event"] == "stream summary")
    assert summary["process"] == "supervisor"
    assert summary["frames_in"] > 25
    made = summary["frames_out"]
    assert made["240p"] > summary["frames_in"] / 2, "a busy host drops some"
    assert 0 < made["144p"] < made["240p"]
    assert "denied" not in [line["event"] for line in lines], "each process says what it may"
    assert "followed" not in json.dumps(lines), "a key is a credential"

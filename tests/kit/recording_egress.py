"""`python -m tests.kit.recording_egress …`: an egress with a second output, which records units.

It is what an output of a server is, a class and a line in the table: `RECORD` names the recorders,
`RECORDED` the file that they write to, once a second and at the end.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import egress.run
from common.config.settings import Settings
from common.ipc.child import child_parser, run_child
from common.ipc.control_messages import Endpoint
from common.ipc.identity import StreamId
from egress.__main__ import KIND, build
from egress.output import Audience, OutputContext, ViewerStatus
from egress.streams.stream import Stream
from egress.streams.subscribers import Start
from tests.kit.unit_recorder import UnitRecorder

RECORD = "TFARM_TEST_RECORD"  # "live/cam1 720p quick" each, separated by ";"
RECORDED = "TFARM_TEST_RECORDED"
SLOW_QUEUE_MS = 200
BROKEN_AFTER = 3  # calls


class BrokenRecorder(UnitRecorder):
    """Raises after some calls."""

    calls = 0

    def on_units(self, tags: object, /) -> None:
        self.calls += 1
        if self.calls > BROKEN_AFTER:
            raise RuntimeError("a recorder's bug")
        super().on_units(tags)  # type: ignore[arg-type]  # as it is called


class RecorderOutput:
    """Subscribes to what `RECORD` says when the stream opens: quick, slow or broken recorders."""

    protocol = "file"

    def __init__(self, context: OutputContext) -> None:
        self.endpoints: Mapping[str, str] = {}
        self._child = context.child
        self._path = Path(os.environ[RECORDED])
        self._recorders: dict[str, UnitRecorder] = {}
        self._words: dict[str, list[str]] = {}
        self._renditions: dict[str, tuple[str, str]] = {}
        for text in os.environ[RECORD].split(";"):
            stream_id, rendition, name = text.split()
            self._renditions[name] = stream_id, rendition

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None:
        pass

    def on_stream(self, stream: Stream) -> None:
        for name, (stream_id, rendition) in self._renditions.items():
            found = stream.renditions.get(rendition)
            if stream.stream_id == stream_id and found is not None and name not in self._recorders:
                kinds = {"slow": UnitRecorder(SLOW_QUEUE_MS), "broken": BrokenRecorder()}
                self._recorders[name] = kinds.get(name, UnitRecorder())
                found.subscribe(self._recorders[name], Start.FIRST)

    @property
    def counters(self) -> Mapping[str, int]:
        return {"recorders": len(self._recorders)}

    def audience(self, stream_id: StreamId) -> Mapping[str, Audience]:
        found: dict[str, Audience] = {}
        for name, recorder in self._recorders.items():
            if self._renditions[name][0] == stream_id and recorder.ended is None:
                rendition = self._renditions[name][1]
                before = found.get(rendition, Audience(0, 0))
                # A real recording has no players; here a test looks at the sum.
                found[rendition] = Audience(before.players + 1, before.dropped + recorder.dropped)
        return found

    def viewers(self) -> Sequence[ViewerStatus]:
        return ()

    def end_viewer(self, number: int, reason: str) -> None:
        pass

    def serves(self) -> bool:
        return False

    def configure(self, settings: Settings) -> None:
        pass

    def check(self, now: float) -> None:
        for name, recorder in self._recorders.items():
            if name != "slow":
                self._words.setdefault(name, []).extend(recorder.read())
        written = self._path.with_suffix(".new")
        written.write_text(
            json.dumps(
                {
                    name: {
                        "words": self._words.get(name, []),
                        "ended": recorder.ended,
                        "dropped": recorder.dropped,
                        "child": str(self._child),
                    }
                    for name, recorder in self._recorders.items()
                }
            )
        )
        written.rename(self._path)

    async def stop(self, reason: str) -> None:
        pass

    def close(self, reason: str) -> None:
        self.check(0.0)


class FailingOutput(RecorderOutput):
    """A recording whose every look fails."""

    def check(self, now: float) -> None:
        raise RuntimeError("an output's bug")

    def close(self, reason: str) -> None:
        pass


if __name__ == "__main__":
    recorder = FailingOutput if os.environ[RECORD].endswith(" failing") else RecorderOutput
    egress.run.OUTPUTS = (recorder, *egress.run.OUTPUTS)
    run_child(KIND, child_parser(KIND, __doc__ or "").parse_args(), build, collects_rarely=True)

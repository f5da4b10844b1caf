"""Which streams' sound the audio children measure, and what they found. Pure.

A template asks for it (`audio_levels`). What a child was told is forgotten with its hello.
"""

from collections.abc import Mapping

from common.ipc.control_messages import AudioStreams, StreamWanted
from common.ipc.identity import ChildId, StreamId
from common.ipc.media_messages import SHARED
from common.ipc.status_messages import AudioLevels
from supervisor.farm.actions import Action, Send
from supervisor.farm.state import FarmState

KIND = "audio"


class AudioMeasuring:
    """Reports to each audio child its streams, when these change."""

    def __init__(self, state: FarmState) -> None:
        self._state = state
        self._reported: dict[ChildId, tuple[StreamId, ...]] = {}

    def child_up(self, child: ChildId) -> list[Action]:
        """A child that knows nothing yet, or says its hello again."""
        self._reported.pop(child, None)
        return self.report(child)

    def report(self, child: ChildId) -> list[Action]:
        """The streams of a child, if they are others than those reported last."""
        streams = tuple(
            sorted(
                stream.stream_id
                for stream in self._state.streams.values()
                if stream.template.audio_levels and stream.is_live
            )
        )
        if streams == self._reported.get(child, ()):
            return []
        self._reported[child] = streams
        return [Send(child, AudioStreams(streams))]

    def may_want(self, child: ChildId, wanted: StreamWanted) -> bool:
        """Tell if a child wants the sound of a stream that it was told to measure."""
        its_own = self._reported.get(child, ())
        return wanted.renditions == (SHARED,) and wanted.stream_id in its_own

    def forget(self, child: ChildId) -> None:
        """It is gone."""
        self._reported.pop(child, None)


def levels(state: FarmState) -> Mapping[StreamId, AudioLevels]:
    """What the audio children found last, by stream."""
    return {
        found.stream_id: found
        for child in state.of_kind(KIND)
        if (beat := state.children[child].heartbeat) is not None
        for found in beat.levels
    }

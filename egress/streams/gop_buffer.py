"""One rendition's configuration and its tags since the last keyframe. Pure.

Times are stream time.
"""

from collections.abc import Sequence
from typing import Final

from common.ipc.media_messages import KEY
from egress.streams.tag import AUDIO, VIDEO, Change, Config, Tag

MAX_GOP_MS: Final = 10_500
# A longer one, between pictures that go on, is a clock that was set: nothing lasted for so long.
# Of pictures none is: who begins in front of it would see a still for that time.
MAX_SOUND_STEP_MS: Final = 5_000
MAX_GOP_BYTES: Final = 16 * 1024 * 1024
MAX_GOP_ENTRIES: Final = 4_000


class GopBuffer:
    """Tags in the order in which they go out; what a subscriber starts from.

    The caller appends in order of time for each type. A GOP over the limits is forgotten: who
    subscribes then waits for the next keyframe.
    """

    def __init__(self) -> None:
        self.config = Config()  # in force for the next tag
        self.last_dts_ms: dict[int, int] = {}  # by tag type
        self._tags: list[Tag] = []  # since the last keyframe, that included; empty: no start
        self._changes: list[Change] = []  # the first one at the keyframe
        self._bytes = 0
        self._from_ms: dict[int, int] = {}  # by type: one may be ahead of the other

    @property
    def tags(self) -> Sequence[Tag]:
        """The tags since the last keyframe; empty when there is none to start from."""
        return self._tags

    @property
    def changes(self) -> Sequence[Change]:
        """The configuration at the keyframe, and where another one came into force."""
        return self._changes

    def configure(self, config: Config) -> None:
        """Another configuration from the next tag on."""
        self.config = config
        if self._tags:
            if self._changes[-1].at == len(self._tags):
                self._changes.pop()
            self._changes.append(Change(len(self._tags), config))

    def append(self, tag: Tag) -> None:
        """Take the next tag."""
        tag_type, dts_ms = tag.type, tag.dts_ms
        last_ms = self.last_dts_ms.get(tag_type)
        self.last_dts_ms[tag_type] = dts_ms
        if tag_type == VIDEO and tag.flags & KEY:
            self._tags = []
            self._changes = [Change(0, self.config)]
            self._bytes = 0
            self._from_ms = {}
        elif not self._tags:
            return
        self._tags.append(tag)
        self._bytes += len(tag.body)
        if (
            len(self._tags) > MAX_GOP_ENTRIES
            or self._bytes > MAX_GOP_BYTES
            or self._length_ms(tag_type, dts_ms, last_ms) > MAX_GOP_MS
        ):
            self._tags = []
            self._changes = []

    def _length_ms(self, tag_type: int, dts_ms: int, last_ms: int | None) -> int:
        """How long the GOP is by pictures or by sound; the time of a data message says nothing."""
        if tag_type not in (VIDEO, AUDIO):
            return 0
        if tag_type == AUDIO and last_ms is not None and dts_ms - last_ms > MAX_SOUND_STEP_MS:
            self._from_ms[AUDIO] = dts_ms
        return dts_ms - self._from_ms.setdefault(tag_type, dts_ms)

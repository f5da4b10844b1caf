"""One rendition's configuration and its tags since the last keyframe. Pure.

Where segments are cut, the whole GOPs before are kept too: a playlist begins with them.

The bounds are those of `common.media.gop_buffer`. Times are stream time. Of a GOP that outgrew them
its keyframe is left, to be shown as a still.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from common.ipc.media_messages import KEY
from common.media import gop_buffer as media
from common.media.last_gops import LastGops
from egress.streams.tag import AUDIO, DATA, VIDEO, Change, Config, Tag

# A longer one, between pictures that go on, is a clock that was set: nothing lasted for so long.
# Of pictures none is: who begins in front of it would see a still for that time.
MAX_SOUND_STEP_MS: Final = 5_000


class GopBuffer:
    """Tags in the order in which they go out; what a subscriber starts from.

    The caller appends in order of time for each type. A GOP over the limits is forgotten, but for
    its keyframe: who subscribes then sees that until the next one comes.
    """

    def __init__(self, *, keeps_last: bool = False) -> None:
        """`keeps_last`: the whole GOPs before the current one are kept too."""
        self._keeps_last = keeps_last
        self._last: LastGops[tuple[Sequence[Tag], Sequence[Change]]] = LastGops()
        self.config = Config()  # in force for the next tag
        self.last_dts_ms: dict[int, int] = {}  # by tag type
        self._gop: media.GopBuffer[Tag] = media.GopBuffer()
        self._changes: list[Change] = []  # the first one at the keyframe
        self._key: Tag | None = None  # the latest keyframe, and what was in force with it
        self._key_config = Config()

    @property
    def tags(self) -> Sequence[Tag]:
        """The tags since the last keyframe; empty when there is none to start from."""
        return self._gop.entries

    @property
    def last(self) -> Iterable[tuple[Sequence[Tag], Sequence[Change]]]:
        """The whole GOPs before, each with its configurations; none where they are not kept."""
        return self._last

    @property
    def is_still(self) -> bool:
        """Whether there is nothing but a still to start from."""
        return self._key is not None and not self._gop.entries

    @property
    def still(self) -> tuple[Tag, Config] | None:
        """The keyframe of a GOP that outgrew the limits, at the time of the last picture.

        With it the configuration to show it by. What came since refers to pictures that are not
        here.
        """
        key = self._key
        if key is None or not self.is_still:
            return None
        config = self.config._replace(video=self._key_config.video)
        return replace(key, dts_ms=self.last_dts_ms[VIDEO]), config

    @property
    def changes(self) -> Sequence[Change]:
        """The configuration at the keyframe, and where another one came into force."""
        return self._changes

    def configure(self, config: Config) -> None:
        """Another configuration from the next tag on."""
        self.config = config
        at = len(self._gop.entries)
        if at:
            if self._changes[-1].at == at:
                self._changes.pop()
            self._changes.append(Change(at, config))

    def forget(self) -> None:
        """Have nothing to start from before the next keyframe; the order of time stays."""
        self._last.clear()
        self._gop.clear()
        self._changes = []
        self._key = None

    def append(self, tag: Tag) -> None:
        """Take the next tag."""
        tag_type, dts_ms = tag.type, tag.dts_ms
        is_key = is_set_anew = False
        if tag_type == VIDEO:
            is_key = tag.flags & KEY != 0
            if is_key and self._keeps_last:
                if self._gop.entries:
                    self._last.add((self._gop.entries, self._changes), self._gop.size_bytes)
                else:  # it outgrew the limits
                    self._last.clear()
        elif tag_type == AUDIO:
            last_ms = self.last_dts_ms.get(AUDIO, dts_ms)
            is_set_anew = dts_ms - last_ms > MAX_SOUND_STEP_MS
            is_key = tag.flags & KEY != 0  # of a rendition that has the sound alone
        self.last_dts_ms[tag_type] = dts_ms
        kept = self._gop.add(
            tag,
            len(tag.body),
            None if tag_type == DATA else tag_type,
            dts_ms,
            begins=is_key,
            set_anew=is_set_anew,
        )
        if is_key:
            self._changes = [Change(0, self.config)]
            self._key, self._key_config = tag, self.config
        if kept is media.Kept.OVERFLOWED:
            self._changes = []

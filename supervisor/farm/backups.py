"""When a stream is to go over to its backup for what its pictures show or its sound is. Pure.

Workers and the audio child report that a source is black or silent (`worker/session`,
`worker/audio`); how long a template bears it is decided here, once a heartbeat of the ingest. All
else about the two publishers of a stream is for the ingest to decide
(`ingest/streams/backup_rules.py`). `now` is CLOCK_MONOTONIC in seconds.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from common.config.ladder import Template
from common.ipc.control_messages import SwitchPublisher
from common.ipc.identity import ChildId, StreamId
from common.ipc.status_messages import Notice
from supervisor.farm.actions import Action, Send
from supervisor.farm.state import FarmState
from supervisor.farm.stream import Stream

MAIN: Final = "main"
BACKUP: Final = "backup"
AUTO: Final = "auto"
NOTICED_S: Final = 10.0  # a picture is black, or sound silent, for so long before it is reported
AGAIN_S: Final = 5.0  # between two switches of one stream


class Backups:
    """Those of one farm."""

    def __init__(self, state: FarmState) -> None:
        self._state = state
        self._since_s: dict[tuple[StreamId, str], float] = {}  # when a notice was seen first
        self._switched_s: dict[StreamId, float] = {}

    def look(
        self, ingest: ChildId, sound: Mapping[StreamId, Sequence[Notice]], now: float
    ) -> list[Action]:
        """Look at the streams of an ingest that says how it is; `sound` is wrong with theirs."""
        actions: list[Action] = []
        for stream in self._state.streams.values():
            if stream.ingest == ingest and stream.template.takes_backup:
                actions += self._look_at(stream, sound.get(stream.stream_id, ()), now)
        return actions

    def forget_ended(self) -> None:
        """Forget streams that are no more."""
        streams = self._state.streams
        self._since_s = {at: since for at, since in self._since_s.items() if at[0] in streams}
        self._switched_s = {one: at for one, at in self._switched_s.items() if one in streams}

    def switch(self, stream: Stream, role: str, by: str) -> tuple[bool, str, list[Action]]:
        """An operator's word: whether it can be done, what is said of it, and what is to be done.

        `role` is "main", "backup", or "auto": by the rules again.
        """
        name, publisher = stream.stream_id, stream.publisher
        if not stream.template.takes_backup:
            return False, f"{name} has no backup: templates.{stream.template.name}.backup", []
        if role == AUTO:
            message = SwitchPublisher(name, "", "")
            return True, f"{name} goes by the rules again", [Send(stream.ingest, message)]
        standby = publisher.standby if publisher is not None else None
        on_air = publisher.role if publisher is not None else ""
        if role == on_air:
            words = f"{name} stays with its {role} publisher until `tfarm switch {name} {AUTO}`"
        elif standby is not None and standby.role == role:
            words = (
                f"{name} goes over to its {role} publisher at the next keyframe, and stays until "
                f"`tfarm switch {name} {AUTO}`"
            )
        else:
            return False, f"the {role} publisher of {name} is not there", []
        message = SwitchPublisher(name, role, f"wanted by {by}", is_lasting=True)
        return True, words, [Send(stream.ingest, message)]

    # ---- inside -------------------------------------------------------------------------------

    def _look_at(self, stream: Stream, sound: Sequence[Notice], now: float) -> Iterator[Action]:
        publisher, transcode = stream.publisher, stream.transcode
        name = stream.stream_id
        notices = [*(transcode.notices if transcode is not None else ()), *sound]
        seen = {notice.code for notice in notices}
        for code in ("black-picture", "silence"):
            if code in seen:
                self._since_s.setdefault((name, code), now)
            else:
                self._since_s.pop((name, code), None)
        standby = publisher.standby if publisher is not None else None
        if publisher is None or standby is None or publisher.role != MAIN or not standby.is_ready:
            return
        if now - self._switched_s.get(name, -AGAIN_S) < AGAIN_S:
            return
        for code, words, most_s in _borne(stream.template):
            since_s = self._since_s.get((name, code))
            if since_s is not None and NOTICED_S + now - since_s >= most_s:
                self._switched_s[name] = now
                for_s = NOTICED_S + now - since_s
                reason = f"{words} of the main publisher for {for_s:.0f} s"
                yield Send(stream.ingest, SwitchPublisher(name, BACKUP, reason))
                return


def _borne(template: Template) -> Iterator[tuple[str, str, float]]:
    """The notices that a template bears for a time, what they are called, and how long."""
    if template.backup_after_black_s is not None:
        yield "black-picture", "black pictures", template.backup_after_black_s
    if template.backup_after_silent_s is not None:
        yield "silence", "silent sound", template.backup_after_silent_s

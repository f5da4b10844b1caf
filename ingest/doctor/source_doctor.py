"""The doctor of one stream's source: its figures each second, its notices. Pure.

`now` is CLOCK_MONOTONIC in seconds, given by the caller.
"""

from collections.abc import Sequence
from typing import Final

from common.notices.doctor import Change, Doctor
from common.notices.notices import Notices
from ingest.doctor.source_figures import SourceHistory, StreamFacts
from ingest.doctor.source_rules import SOURCE_EVENTS, SOURCE_RULES

LOOK_S: Final = 1.0
PARTED_S: Final = 600.0  # for so long it is worth a notice that sound and picture had parted
_CLOCK: Final = tuple(code for code in SOURCE_EVENTS if code.startswith("clock-"))


class SourceDoctor:
    """One stream's. Tell `counts` of each frame, and call `look` once a second."""

    def __init__(self, notices: Notices) -> None:
        self._notices = notices
        self._history = SourceHistory()
        self.counts = self._history.counts
        self._doctor = Doctor(SOURCE_RULES, notices)
        self.sound_behind_ms = 0.0  # of the last second; below 0: ahead; 0: nothing is known
        self._looked_s: float | None = None
        self._parted_s: float | None = None

    def take_changes(self) -> list[Change]:
        """What is for the log since the last call."""
        return self._doctor.take_changes()

    def restart(self) -> None:
        """Another publisher begins, or the one there was is gone."""
        self._history.restart()
        self._doctor.restart()
        self._notices.clear_all()
        self.sound_behind_ms = 0.0
        self._looked_s = self._parted_s = None

    def is_due(self, now: float) -> bool:
        """Whether a second is over."""
        return self._looked_s is None or now - self._looked_s >= LOOK_S

    def look(self, facts: StreamFacts, now: float) -> None:
        """Judge the second that is over."""
        self._looked_s = now
        figures = self._history.second(facts, now)
        self.sound_behind_ms = figures.sound_behind_ms
        self._doctor.look(figures, now)
        if self._parted_s is not None and now - self._parted_s >= PARTED_S:
            self._parted_s = None
            self._notices.clear("sound-parted")

    # ---- what others found out, and have logged ------------------------------------------------

    def note_clock(self, faults: Sequence[tuple[str, str]], parted: str, now: float) -> None:
        """Take what is wrong with the publisher's clock now, by code; `parted` if it just was."""
        words = dict(faults)
        for code in _CLOCK:
            if code in words:
                self._notices.set(code, f"{words[code]}: set {SOURCE_EVENTS[code][1]}", now)
            else:
                self._notices.clear(code)
        if parted:
            self._parted_s = now
            self._notices.set(
                "sound-parted", f"{parted}: set {SOURCE_EVENTS['sound-parted'][1]}", now
            )

    def note_omitted_audio(self, what: str, now: float) -> None:
        """Take that sound is not passed on."""
        words = f"{what} is omitted: set the encoder's sound to {SOURCE_EVENTS['audio-omitted'][1]}"
        self._notices.set("audio-omitted", words, now)

    def note_made_header(self, what: str, now: float) -> str:
        """Take what a missing AAC header was made as; "": it has come. What is for the log."""
        code = "audio-header-made"
        if not what:
            self._notices.clear(code)
            return "its AAC sequence header has come, and is taken for the one that was made"
        words = f"the sound has no AAC sequence header: one was made ({what})"
        self._notices.set(code, f"{words}: set {SOURCE_EVENTS[code][1]}", now)
        return words

    def note_omitted_tracks(self, what: str, now: float) -> None:
        """Take that further tracks come, which ones and how much."""
        code = "tracks-omitted"
        words = f"omitted: {what}: set {SOURCE_EVENTS[code][1]}"
        self._notices.set(code, words, now, is_fault=False)

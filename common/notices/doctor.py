"""Which rules hold of one source: the machine behind its notices, with hysteresis. Pure.

`look` is given the figures of each second. A notice's words follow the figures; its beginning and
its end are changes, for the log. Of one code at most one pair of them is for the log in
`LOG_AGAIN_S`, whatever the figures do.

`now` is CLOCK_MONOTONIC in seconds, given by the caller.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic

from common.notices.notices import Notices
from common.notices.rules import F, Rule

LOG_AGAIN_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Change:
    """A notice begins or ends, and the log may say so."""

    code: str
    begins: bool
    text: str
    is_fault: bool
    lasted_s: float = 0.0  # when it ends

    def line(self) -> tuple[str, str, tuple[object, ...]]:
        """The log's line: the event, its fields, and their values."""
        if self.begins:
            return "source notice", "code=%s words=%s", (self.code, self.text)
        return (
            "source notice over",
            "code=%s seconds=%.0f words=%s",
            (self.code, self.lasted_s, self.text),
        )


@dataclass(slots=True)
class _Course:
    """One rule's course."""

    is_on: bool = False  # there is a notice
    holds_since_s: float | None = None  # at least `enter`
    calm_since_s: float | None = None  # less than `leave`, while there is a notice
    began_s: float = 0.0
    logged_s: float | None = None  # when a beginning was last for the log …
    is_logged: bool = False  # … and this notice's was


class Doctor(Generic[F]):
    """One source's notices by the rules."""

    def __init__(self, rules: Sequence[Rule[F]], notices: Notices) -> None:
        self._rules = rules
        self._notices = notices
        self._courses: dict[str, _Course] = {}
        self._changes: list[Change] = []

    def take_changes(self) -> list[Change]:
        """What began and ended since the last call, as far as it is for the log."""
        changes, self._changes = self._changes, []
        return changes

    def look(self, figures: F, now: float) -> None:
        """Take the figures of a second."""
        for rule in self._rules:
            value = rule.value(figures)
            course = self._courses.get(rule.code)
            if course is None:
                if value < rule.enter:
                    continue  # as nearly always
                course = self._courses[rule.code] = _Course()
            if course.is_on:
                self._look_for_end(rule, course, value, figures, now)
            else:
                self._look_for_begin(rule, course, value, figures, now)

    def restart(self) -> None:
        """Another source begins. What was logged stays known."""
        for code, course in self._courses.items():
            if course.is_on:
                self._notices.clear(code)
            course.is_on = course.is_logged = False
            course.holds_since_s = course.calm_since_s = None

    # ---- inside -------------------------------------------------------------------------------

    def _look_for_begin(
        self, rule: Rule[F], course: _Course, value: float, figures: F, now: float
    ) -> None:
        if value < rule.enter:
            course.holds_since_s = None
            return
        if course.holds_since_s is None:
            course.holds_since_s = now
        if now - course.holds_since_s < rule.after_s:
            return
        words = rule.words(figures)
        self._notices.set(rule.code, words, now, is_fault=rule.is_fault)
        course.is_on, course.began_s, course.calm_since_s = True, now, None
        course.is_logged = course.logged_s is None or now - course.logged_s >= LOG_AGAIN_S
        if course.is_logged:
            course.logged_s = now
            self._changes.append(Change(rule.code, True, words, rule.is_fault))

    def _look_for_end(
        self, rule: Rule[F], course: _Course, value: float, figures: F, now: float
    ) -> None:
        if value >= rule.leave:
            course.calm_since_s = None
            if value >= rule.enter:  # less than that is no figure to show
                self._notices.set(rule.code, rule.words(figures), now, is_fault=rule.is_fault)
            return
        if course.calm_since_s is None:
            course.calm_since_s = now
        if now - course.calm_since_s < rule.until_s:
            return
        self._notices.clear(rule.code)
        course.is_on, course.holds_since_s = False, None
        if course.is_logged:
            lasted_s = now - course.began_s
            self._changes.append(Change(rule.code, False, rule.what, rule.is_fault, lasted_s))

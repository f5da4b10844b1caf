"""Viewers and the apps' hooks, whatever output the viewers came to. Pure but for what it sends.

An output asks about who wants to play and whose app has such a rule, and reports the begin and the
end of what is played. Who waits for an answer holds no place of any limit.
"""

import secrets
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

from common.config.hooks import HookEvent, Hooks
from common.config.settings import Settings
from common.ipc.hook_messages import HookNotice, HookSubject, HookVerdict
from common.ipc.hook_questions import GIVEN_UP, MARGIN_S, HookQuestions
from common.ipc.identity import StreamId, split_stream_id

SESSION_BYTES = 9

OnVerdict = Callable[[HookVerdict], object]


@dataclass(frozen=True, slots=True)
class _Asker:
    """One who waits, and what to call with the verdict."""

    viewer: Hashable
    subject: HookSubject
    on_verdict: OnVerdict


@dataclass(frozen=True, slots=True)
class _Session:
    """What one viewer plays."""

    subject: HookSubject
    since_s: float
    bytes_before: int  # that its connection had taken by then


class ViewerHooks:
    """Those of one egress."""

    def __init__(
        self,
        send: Callable[[object], object],
        clock: Callable[[], float],
        unix_time: Callable[[], float],
    ) -> None:
        self._send = send
        self._clock = clock
        self._unix_time = unix_time
        self._settings = Settings()
        self._questions: HookQuestions[_Asker] = HookQuestions(send)
        self._let_in: dict[Hashable, HookSubject] = {}
        self._sessions: dict[Hashable, _Session] = {}

    def __len__(self) -> int:
        return len(self._questions) + len(self._let_in) + len(self._sessions)

    def configure(self, settings: Settings) -> None:
        """Use other settings from now on."""
        self._settings = settings

    def longest_s(self, app: str) -> float:
        """How long an answer may take; who has none by then gives up."""
        return self._of(app).deadline_s + MARGIN_S

    def ask(self, viewer: Hashable, subject: HookSubject, on_verdict: OnVerdict) -> None:
        """Ask about a viewer."""
        asker, hooks = _Asker(viewer, subject, on_verdict), self._of(subject.app)
        verdict = self._questions.ask(asker, HookEvent.ON_PLAY, subject, hooks, self._clock())
        if verdict is not None:
            on_verdict(verdict)

    def answered(self, request_id: int, verdict: HookVerdict) -> None:
        """A hook has answered; who asked may have left."""
        asker = self._questions.answered(request_id)
        if asker is not None:
            self._let_in[asker.viewer] = asker.subject
            asker.on_verdict(verdict)

    def give_up(self, viewer: Hashable) -> None:
        """A viewer has waited for long enough: its verdict is that there is no answer."""
        for asker in self._questions.forget(lambda asker: asker.viewer == viewer):
            asker.on_verdict(GIVEN_UP)

    def forget(self, viewer: Hashable) -> None:
        """A viewer waits no more, or was refused."""
        self._questions.forget(lambda asker: asker.viewer == viewer)
        self._let_in.pop(viewer, None)

    def begin(
        self, viewer: Hashable, stream: StreamId, rendition: str, address: str, taken: int
    ) -> None:
        """A viewer plays from now on; `taken`: the bytes that its connection has taken."""
        app, key = split_stream_id(stream)
        asked = self._let_in.pop(viewer, None)
        if not self._of(app).takes(HookEvent.ON_STOP):
            return
        name = asked.session if asked is not None else secrets.token_urlsafe(SESSION_BYTES)
        subject = HookSubject(app, key, rendition, address, name)
        if asked is not None:
            subject = replace(subject, protocol=asked.protocol)
        self._sessions[viewer] = _Session(subject, self._clock(), taken)

    def _of(self, app: str) -> Hooks:
        template = self._settings.template(app)
        return template.hooks if template is not None else Hooks()

    def is_playing(self, viewer: Hashable) -> bool:
        """Whether its end has to be reported."""
        return viewer in self._sessions

    def end(self, viewer: Hashable, taken: int, reason: str) -> None:
        """A viewer plays no more."""
        session = self._sessions.pop(viewer, None)
        if session is None:
            return
        seconds, size = self._clock() - session.since_s, max(0, taken - session.bytes_before)
        at_unix = self._unix_time()
        self._send(HookNotice(HookEvent.ON_STOP, session.subject, at_unix, seconds, size, reason))

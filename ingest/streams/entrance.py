"""The way of one who asks to publish: the checks, in their order, up to the supervisor. Pure.

Bans, address and app, the app's rules; then the app's hook, where a rule asks it; then an earlier
refusal, whether the stream is another's, limits, the use of a single-use URL. Who is refused for
one of these has taken nothing, and who waits for a hook holds nothing: neither the stream nor a
place of its address. Then the stream that is there goes on, or the supervisor is asked for room.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from common.access.authorise import used_before
from common.access.credentials import IN_USE
from common.access.refusal import Cause, Refusal, RefusalReason
from common.access.used_urls import Claims, Uses
from common.config.hooks import HookEvent, Hooks
from common.config.overrides import StreamOverrides
from common.ipc.control_messages import PublisherBack, UrlsUsed
from common.ipc.hook_messages import HookSubject, HookVerdict
from common.ipc.hook_questions import GIVEN_UP, HookQuestions, refusal_by
from common.ipc.identity import StreamId, stream_id
from ingest.streams.admission import Admission, PublishAdmitted, PublishAttempt, check_attempt
from ingest.streams.publish_requests import Report
from ingest.streams.publisher import PublishingConnection
from ingest.streams.sessions import Sessions

if TYPE_CHECKING:
    from ingest.streams.registry import Streams


@dataclass(frozen=True, slots=True)
class Asker:
    """One who waits for a hook."""

    connection: PublishingConnection
    attempt: PublishAttempt
    checked: PublishAdmitted
    subject: HookSubject


class Entrance:
    """Lets publishers in, or refuses them."""

    def __init__(
        self,
        streams: "Streams",
        admission: Admission,
        report: Report,
        unix_time: Callable[[], float],
    ) -> None:
        self._streams = streams
        self._admission = admission
        self._report = report
        self._unix_time = unix_time
        self._questions: HookQuestions[Asker] = HookQuestions(report)
        self.sessions = Sessions(report, unix_time)
        self.claims = Claims(lambda uses: report(UrlsUsed(uses, unix_time())))

    def publish(
        self, connection: PublishingConnection, attempt: PublishAttempt, now: float
    ) -> None:
        """A connection asks to publish."""
        streams = self._streams
        checked = check_attempt(
            attempt, streams.settings, streams.bans, connection.host, self._unix_time()
        )
        if isinstance(checked, Refusal):
            streams.refuse(connection, attempt.request_id, checked, now, attempt)
            return
        if not checked.needs_hook:
            self._let_in(connection, attempt, checked, now)
            return
        subject = self.sessions.subject(connection, attempt, streams.settings)
        asker = Asker(connection, attempt, checked, subject)
        hooks = self._hooks(attempt.app)
        verdict = self._questions.ask(asker, HookEvent.ON_PUBLISH, subject, hooks, now)
        if verdict is not None:
            self._judge(asker, verdict, now)

    def why_not(self, attempt: PublishAttempt, host: str, now: float) -> Refusal | None:
        """Why this one would be refused, as far as that can be said and nothing be held."""
        streams = self._streams
        checked = check_attempt(attempt, streams.settings, streams.bans, host, self._unix_time())
        if isinstance(checked, Refusal):
            return checked
        if checked.needs_hook:  # it may be another stream by then
            return None
        refusal = streams.memory.recall(checked.stream, now, host)
        if streams.standbys.has_place(checked.stream, attempt):
            return refusal
        return refusal or streams.is_in_use(checked.stream, checked.credentials, now)

    def answered(self, request_id: int, verdict: HookVerdict, now: float) -> None:
        """A hook has answered; who asked may have left."""
        asker = self._questions.answered(request_id)
        if asker is not None:
            self._judge(asker, verdict, now)

    def tick(self, now: float) -> None:
        """Give up questions that nobody answers."""
        for asker in self._questions.overdue(now):
            self._judge(asker, GIVEN_UP, now)

    def forget(self, connection: PublishingConnection) -> bool:
        """A connection asks no more, or was refused; whether it waited for a hook."""
        self.claims.release(connection)
        self.sessions.forget(connection)
        return bool(self._questions.forget(lambda asker: asker.connection is connection))

    def begin(
        self,
        connection: PublishingConnection,
        attempt: PublishAttempt,
        stream: StreamId,
        now: float,
    ) -> None:
        """A connection has been let in; of one that was elsewhere, hooks are told from there."""
        self.claims.keep(connection)
        if attempt.judged is None:
            self.sessions.begin(connection, stream, now)

    def used(self, uses: Uses) -> None:
        """These URLs were used at other processes."""
        self.claims.add(uses, self._unix_time())

    def close(self, reason: str, now: float) -> None:
        """Refuse all who wait."""
        for asker in self._questions.forget(lambda _: True):
            refusal = Refusal(RefusalReason.UNAVAILABLE, reason)
            attempt = asker.attempt
            self._streams.refuse(asker.connection, attempt.request_id, refusal, now, attempt)

    def admit(
        self,
        connection: PublishingConnection,
        checked: PublishAdmitted,
        before: PublishingConnection | None,
        *,
        is_new: bool = False,
    ) -> Refusal | None:
        """Count it in, and claim the use of a URL that is for one, or say why not."""
        host = connection.host
        instead_of = before.host if before is not None else None
        why = self._admission.admit_publish(host, instead_of, is_new=is_new)
        if why is not None:
            return Refusal(RefusalReason.DENIED, why, cause=Cause.LIMIT)
        if not self.claims.claim(connection, checked.use, checked.until_unix, self._unix_time()):
            self._admission.release_publish(host)
            return used_before()
        return None

    # ---- inside -------------------------------------------------------------------------------

    def _hooks(self, app: str) -> Hooks:
        template = self._streams.settings.template(app)
        return template.hooks if template is not None else Hooks()

    def _judge(self, asker: Asker, verdict: HookVerdict, now: float) -> None:
        """Let one in whose hook has answered, or has not."""
        connection, attempt, checked = asker.connection, asker.attempt, asker.checked
        refusal = refusal_by(verdict, self._hooks(attempt.app))
        if refusal is None and verdict.key:
            checked = replace(checked, stream=stream_id(attempt.app, verdict.key))
            refusal = self._streams.bans.refusal(connection.host, checked.stream)
        if refusal is not None:
            self._streams.refuse(connection, attempt.request_id, refusal, now, attempt)
            return
        if verdict.owner:
            entry = f"{checked.credentials.entry}:{verdict.owner}"
            checked = replace(checked, credentials=replace(checked.credentials, entry=entry))
        overrides = StreamOverrides(verdict.template, verdict.limits, verdict.play_keys)
        self.sessions.answered(connection, asker.subject, checked.stream)
        self._let_in(connection, attempt, replace(checked, overrides=overrides), now)

    def _let_in(
        self,
        connection: PublishingConnection,
        attempt: PublishAttempt,
        checked: PublishAdmitted,
        now: float,
    ) -> None:
        """Let it go on with the stream that is there, ask for room, or refuse it."""
        streams = self._streams
        stream, credentials = checked.stream, checked.credentials
        refusal = streams.memory.recall(stream, now, connection.host)
        known = streams.get(stream)
        if refusal is None:
            aside = streams.standbys.let_in(connection, attempt, checked, now)
            if aside is True:
                return
            refusal = aside or None
        refusal = refusal or streams.is_in_use(stream, credentials, now)
        if refusal is None and attempt.is_ordered and streams.publisher_of(stream) is not None:
            refusal = IN_USE  # whatever the app's `takeover` says: it would come back for ever
        if refusal is None:
            before = streams.publisher_of(stream)
            refusal = self.admit(connection, checked, before, is_new=known is None)
        if refusal is not None:
            streams.refuse(connection, attempt.request_id, refusal, now, attempt)
            return
        streams.make_way(stream, connection.peer, now)
        known = streams.get(stream)
        if known is not None:
            # Its ladder and limits stay; who may play it is for its publisher's hook to say.
            known.overrides = replace(known.overrides, play_keys=checked.overrides.play_keys)
            streams.begin(connection, attempt, known, credentials, now)
            if streams.is_publishing(connection):  # it may be found broken as it is answered
                # before its room is given away
                self._report(PublisherBack(stream, known.generation, connection.peer, credentials))
            return
        streams.requests.ask(
            streams.next_request(),
            connection,
            attempt,
            checked,
            now,
            is_at_limit=self._admission.is_beyond_limit(connection.host),
        )

"""The sessions of publishers, as hooks are told of them. Pure but for the reports it sends.

A session has a name from the question to the hook, or from its start, to its end, which is told
with what it brought.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from common.access.authorise import publish_rules
from common.config.access import Way
from common.config.hooks import HookEvent
from common.config.settings import Settings
from common.ipc.hook_messages import HookNotice, HookSubject
from common.ipc.identity import StreamId, split_stream_id
from common.ipc.status_messages import Notice
from ingest.streams.admission import PublishAttempt
from ingest.streams.publish_requests import Report
from ingest.streams.publisher import PublishingConnection

SESSION_BYTES = 9


@dataclass(frozen=True, slots=True)
class _Session:
    """One that runs."""

    subject: HookSubject
    since_s: float


class Sessions:
    """Those of one ingest."""

    def __init__(self, report: Report, unix_time: Callable[[], float]) -> None:
        self._report = report
        self._unix_time = unix_time
        self._asked: dict[PublishingConnection, HookSubject] = {}  # let in by a hook
        self._running: dict[PublishingConnection, _Session] = {}

    def __len__(self) -> int:
        return len(self._asked) + len(self._running)

    def subject(
        self, connection: PublishingConnection, attempt: PublishAttempt, settings: Settings
    ) -> HookSubject:
        """Whom a hook is asked about; keys that tfarm checks itself are not passed on."""
        template = settings.template(attempt.app)
        ways = {way for rule in publish_rules(template) for way in rule} if template else set()
        own = {"token"} | ({"key"} if Way.KEY in ways else set())
        query = {name: value for name, value in attempt.query.items() if name not in own}
        return HookSubject(
            attempt.app,
            attempt.key,
            "",
            connection.peer,
            secrets.token_urlsafe(SESSION_BYTES),
            query=query,
        )

    def answered(
        self, connection: PublishingConnection, subject: HookSubject, stream: StreamId
    ) -> None:
        """A hook let it in, with this stream."""
        self._asked[connection] = replace(subject, key=split_stream_id(stream)[1], query={})

    def begin(self, connection: PublishingConnection, stream: StreamId, now: float) -> None:
        """A connection publishes from now on."""
        subject = self._asked.pop(connection, None)
        if subject is None:
            app, key = split_stream_id(stream)
            name = secrets.token_urlsafe(SESSION_BYTES)
            subject = HookSubject(app, key, "", connection.peer, name)
        self._running[connection] = _Session(subject, now)

    def end(
        self,
        connection: PublishingConnection,
        settings: Settings,
        reason: str,
        findings: tuple[Notice, ...],
        now: float,
    ) -> None:
        """A connection publishes no more."""
        session = self._running.pop(connection, None)
        template = settings.template(session.subject.app) if session is not None else None
        if session is None or template is None:
            return
        if template.hooks.takes(HookEvent.ON_UNPUBLISH):
            self._report(
                HookNotice(
                    HookEvent.ON_UNPUBLISH,
                    session.subject,
                    self._unix_time(),
                    now - session.since_s,
                    connection.received_bytes,
                    reason,
                    findings,
                )
            )

    def forget(self, connection: PublishingConnection) -> None:
        """A connection is gone that was let in by a hook, and did not come to publish."""
        self._asked.pop(connection, None)

"""The `upload` child's shell (IO): recordings go to buckets, of each app one file at a time.

Scans and uploads are done in threads; the loop only decides. A file that is being sent when the
process ends is sent again by the next one, from its beginning.
"""

import asyncio
import contextlib
import json
import logging
import secrets
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from common.config.hooks import HookEvent
from common.config.recording import Recording, Upload
from common.config.settings import Settings
from common.ipc.child import ChildProcess
from common.ipc.control_messages import Endpoint, Heartbeat, Hello
from common.ipc.hook_messages import HookNotice, HookSubject
from common.ipc.upload_messages import UploadReport, UploadState
from common.process.log import PeerLines, more, stream_label
from egress.record.names import app_folder
from egress.upload.backlog import Backlog, Waiting
from egress.upload.bucket import Bucket, GivenUp, UploadFailed, credentials_of
from egress.upload.credentials import Credentials
from egress.upload.folders import AppFolder, mark
from egress.upload.objects import object_name

log = logging.getLogger("tfarm.egress.upload.run")

TICK_S: Final = 0.25
SCAN_S: Final = 5.0
REPORT_S: Final = 1.0
THREADS: Final = 8  # that send; each app has one at most
LAST_S: Final = 1.0  # for what is on its way to notice the end
SESSION_BYTES: Final = 9
TAKEN: Final = "it is in the bucket"


class AppUpload:
    """One app's recordings on their way to its bucket."""

    def __init__(self, service: "UploadService", app: str, rule: Recording) -> None:
        self.app, self.rule = app, rule
        self.backlog = Backlog(app, rule.upload.shown, time.monotonic())
        self.is_over = False
        self._service = service
        self._folder = AppFolder(app_folder(rule.directory, app))
        self._scan: asyncio.Future[list[Waiting]] | None = None
        self._scan_s = 0.0  # when the next one is due
        self.sending: asyncio.Task[None] | None = None

    def tick(self, now: float) -> None:
        """Look at the folders, and send what is next, where that is due."""
        if self._scan is None and now >= self._scan_s:
            loop = asyncio.get_running_loop()
            scans = self._service.scans
            self._scan = loop.run_in_executor(scans, self._folder.waiting, time.time())
            self._scan.add_done_callback(self._scanned)
        if self.sending is None and (file := self.backlog.begin(now)) is not None:
            self.sending = self._service.process.spawn(self._send(file))

    def _scanned(self, future: "asyncio.Future[list[Waiting]]") -> None:
        now = time.monotonic()
        self._scan, self._scan_s = None, now + SCAN_S
        if not future.cancelled():
            self.backlog.found(future.result(), now)

    async def _send(self, file: Waiting) -> None:
        began = time.monotonic()
        loop = asyncio.get_running_loop()
        upload = self.rule.upload
        name = object_name(upload.prefix, self.rule.directory, file.path)
        try:
            await loop.run_in_executor(self._service.uploads, self._send_now, file, name)
        except UploadFailed as error:
            self.backlog.failed(str(error), time.monotonic())
            self._log_failure(file, str(error))
        except FileNotFoundError:
            self.backlog.gone(time.monotonic())
        except OSError as error:
            self.backlog.failed(f"it cannot be read: {error.strerror}", time.monotonic())
            self._log_failure(file, self.backlog.reason)
        except GivenUp:
            self.backlog.gone(time.monotonic())
        else:
            now = time.monotonic()
            self.backlog.done(now)
            self._report(file, name, now - began)
        finally:
            self.sending = None

    def _send_now(self, file: Waiting, name: str) -> None:
        """Copy a file, and mark or remove it; in a thread."""
        upload = self.rule.upload
        bucket = Bucket(upload, credentials_of(upload, self._service.environment))
        bucket.send(file.path, name, self._on_sent, lambda: self.is_over)
        if upload.deletes:
            with contextlib.suppress(OSError):
                file.path.unlink()
                return
        try:
            at = {"bucket": upload.shown, "object": name, "bytes": file.size}
            mark(file.path, json.dumps(at | {"at_unix": round(time.time())}) + "\n")
        except OSError as error:
            raise UploadFailed(f"it is there, but cannot be marked: {error.strerror}") from None

    def _on_sent(self, sent: int) -> None:
        self.backlog.sent = sent

    def _log_failure(self, file: Waiting, reason: str) -> None:
        held = self._service.lines.allow(f"{self.app} {reason}", time.monotonic())
        if held is not None:
            log.error(
                "upload failed stream=%s bucket=%s reason=%s%s",
                stream_label("/".join(_stream_of(file.path))),
                self.backlog.shown,
                reason,
                more(held),
            )

    def _report(self, file: Waiting, name: str, seconds: float) -> None:
        (app, key), rendition = _stream_of(file.path), unquote(file.path.parts[-2])
        label = stream_label(f"{app}/{key}")
        log.info(
            "recording uploaded stream=%s rendition=%s bytes=%d seconds=%.1f",
            label,
            rendition,
            file.size,
            seconds,
        )
        session = secrets.token_urlsafe(SESSION_BYTES)
        subject = HookSubject(app, key, rendition, "", session, "record")
        self._service.process.send(
            HookNotice(
                HookEvent.UPLOADED,
                subject,
                time.time(),
                seconds,
                file.size,
                TAKEN,
                file=str(file.path),
                object=f"s3://{self.rule.upload.bucket}/{name}",
            )
        )


class UploadService:
    """A `ChildService`."""

    def __init__(self, process: ChildProcess, environment: Credentials | None) -> None:
        self.process, self.environment = process, environment
        self.uploads = ThreadPoolExecutor(THREADS, "upload")
        self.scans = ThreadPoolExecutor(1, "scan")
        self.lines = PeerLines()
        self._apps: dict[str, AppUpload] = {}
        self._counts = {"uploaded files": 0, "uploaded bytes": 0, "failed uploads": 0}

    def hello(self) -> Hello:
        return self.process.new_hello(Endpoint(self.process.child, self.process.boot_id))

    def heartbeat(self) -> Heartbeat:
        return self.process.new_heartbeat(counters=self._counters())

    def configure(self, settings: Settings) -> None:
        wanted = {
            template.name: template.recording
            for template in settings.templates
            if template.recording.is_uploaded
        }
        for app, one in tuple(self._apps.items()):
            rule = wanted.get(app)
            if rule is None or _way(rule) != _way(one.rule):
                self._end(self._apps.pop(app))
        for app, rule in wanted.items():
            if app not in self._apps:
                self._apps[app] = AppUpload(self, app, rule)

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None: ...

    def on_welcome(self) -> None: ...

    def on_message(self, message: Any, payloads: Sequence[bytes]) -> None:
        log.warning("unexpected control message kind=%s", type(message).__name__)

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        return (self._work(), self._report())

    async def end(self) -> None:
        """Give up what is on its way."""
        self.close()
        sending = [one.sending for one in self._apps.values() if one.sending is not None]
        if sending:
            await asyncio.wait(sending, timeout=LAST_S)

    def close(self) -> None:
        for one in self._apps.values():
            one.is_over = True

    # ---- inside -------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            now = time.monotonic()
            for one in self._apps.values():
                one.tick(now)
            await asyncio.sleep(TICK_S)

    async def _report(self) -> None:
        while True:
            now, now_unix = time.monotonic(), time.time()
            backlogs = [one.backlog for one in self._apps.values()]
            self.process.send(UploadReport(tuple(one.status(now, now_unix) for one in backlogs)))
            await asyncio.sleep(REPORT_S)

    def _end(self, one: AppUpload) -> None:
        """Take over what it has counted; what it has on its way is given up."""
        one.is_over = True
        for name, count in _counts_of(one.backlog).items():
            self._counts[name] += count

    def _counters(self) -> dict[str, int]:
        """All that was done, also before another configuration; what waits now."""
        backlogs = [one.backlog for one in self._apps.values()]
        found = dict(self._counts)
        for backlog in backlogs:
            for name, count in _counts_of(backlog).items():
                found[name] += count
        states = [backlog.state for backlog in backlogs]
        found |= {f"upload {state}": states.count(state) for state in UploadState}
        statuses = [one.status(time.monotonic(), time.time()) for one in backlogs]
        found["waiting files"] = sum(one.waiting_files for one in statuses)
        found["waiting bytes"] = sum(one.waiting_bytes for one in statuses)
        found["oldest s"] = round(max((one.oldest_s for one in statuses), default=0.0))
        return found


def _way(rule: Recording) -> tuple[str, Upload]:
    """From where to where."""
    return rule.directory, rule.upload


def _counts_of(backlog: Backlog) -> dict[str, int]:
    return {
        "uploaded files": backlog.files,
        "uploaded bytes": backlog.bytes,
        "failed uploads": backlog.failures,
    }


def _stream_of(path: Path) -> tuple[str, str]:
    app, key = map(unquote, path.parts[-4:-2])
    return app, key

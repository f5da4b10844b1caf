"""What status says of the copies of recordings in buckets. Pure."""

from collections.abc import Sequence
from typing import Any

from common.config.settings import Settings
from common.extras import S3, install_words, is_installed
from common.ipc.upload_messages import UploadState, UploadStatus
from supervisor.commands.terminal.layout import Column, Line, Row, Span, table

ABSENT = "absent"  # nobody copies: there is no such process
_STYLES = {"idle": "", "uploading": "green", "retrying": "yellow"}


def upload_rows(settings: Settings, reports: Sequence[UploadStatus]) -> list[dict[str, Any]]:
    """Each app whose recordings are copied, as the status document has it."""
    by_app = {report.app: report for report in reports}
    return [
        _row(by_app[template.name])
        if template.name in by_app
        else _absent(template.name, template.recording.upload.shown)
        for template in settings.templates
        if template.recording.is_uploaded
    ]


def upload_lines(rows: list[dict[str, Any]], width: int) -> list[Line]:
    """The table of them, for people; nothing where there are none."""
    if not rows:
        return []
    columns = (
        Column("app"),
        Column("to"),
        Column("state"),
        Column("uploaded", is_number=True),
        Column("waiting", is_number=True),
        Column("MB", is_number=True),
        Column("last failure", is_text=True),
    )
    lines = [
        Row(
            (
                row["app"],
                row["bucket"],
                Span(row["state"], _STYLES.get(row["state"], "red")),
                str(row["files"]),
                str(row["waiting_files"]),
                f"{row['waiting_bytes'] / 1e6:.0f}",
                row["reason"],
            )
        )
        for row in rows
    ]
    return [(), (Span("Uploads", "bold"),), *table(columns, lines, width)]


def _row(one: UploadStatus) -> dict[str, Any]:
    return {
        "app": one.app,
        "bucket": one.bucket,
        "state": one.state.value,
        "reason": one.reason,
        "seconds": one.seconds,
        "waiting_files": one.waiting_files,
        "waiting_bytes": one.waiting_bytes,
        "oldest_s": one.oldest_s,
        "sent_bytes": one.sent_bytes,
        "files": one.files,
        "bytes": one.bytes,
        "failures": one.failures,
    }


def _absent(app: str, bucket: str) -> dict[str, Any]:
    reason = "its process does not run"
    if not is_installed(S3):
        reason = f"a package is missing: {install_words(S3)}"
    row = _row(UploadStatus(app, bucket, UploadState.IDLE, reason))
    return row | {"state": ABSENT}

"""supervisor/commands/status/uploads.py: what status says of copies of recordings."""

from dataclasses import replace

import pytest

from common.config.recording import Recording, Upload
from common.config.settings import Settings
from common.ipc.upload_messages import UploadState, UploadStatus
from supervisor.commands.status import uploads
from supervisor.commands.status.uploads import upload_lines, upload_rows
from supervisor.commands.terminal.layout import plain

(LIVE,) = Settings().templates
COPIED = replace(LIVE, recording=Recording("/r", upload=Upload("b", "https://h")))
SETTINGS = replace(Settings(), templates=(COPIED, replace(LIVE, name="tv")))


def test_a_row_for_each_app_whose_recordings_are_copied() -> None:
    status = UploadStatus("live", "https://h/b", UploadState.RETRYING, "no", waiting_files=3)
    (row,) = upload_rows(SETTINGS, (status,))
    assert (row["app"], row["state"], row["reason"], row["waiting_files"]) == (
        *("live", "retrying", "no", 3),
    )
    shown = "\n".join(map(plain, upload_lines([row], 100)))
    assert "retrying" in shown
    assert "https://h/b" in shown


@pytest.mark.parametrize("is_there", [False, True])
def test_where_nobody_copies_that_is_said(monkeypatch: pytest.MonkeyPatch, is_there: bool) -> None:
    monkeypatch.setattr(uploads, "is_installed", lambda extra: is_there)
    (row,) = upload_rows(SETTINGS, ())
    assert row["state"] == "absent"
    assert ("tfarm[s3]" in row["reason"]) is not is_there


def test_without_uploads_there_is_no_table() -> None:
    assert upload_lines([], 100) == []

"""egress/upload/trial.py: whether a bucket takes files, for the doctor."""

import json
import sys
from dataclasses import asdict

import pytest

from common.config.recording import Upload
from egress.upload import trial
from tests.kit.object_store import BUCKET, KEY_ID, SECRET, ObjectStore


def test_an_object_is_written_and_removed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with ObjectStore() as store:
        upload = Upload(BUCKET, store.url, prefix="farm1/")
        monkeypatch.setattr(sys, "argv", ["trial", json.dumps(asdict(upload))])
        trial.main()
    assert json.loads(capsys.readouterr().out) == {"problem": ""}
    path = f"/{BUCKET}/farm1/tfarm-doctor.txt"
    assert store.requests == [f"PUT {path}", f"DELETE {path}"]


def test_what_is_wrong_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    assert "set `credentials`" in trial.problem(Upload(BUCKET, "http://127.0.0.1:1"))

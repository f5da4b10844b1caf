"""What a hook is sent: one JSON object an event, and the headers that sign it. Pure.

docs/hooks.md describes both for who writes a hook.
"""

import hmac
import json
from collections.abc import Mapping
from typing import Any

from common.config.hooks import HookEvent
from common.ipc.hook_messages import HookNotice, HookQuestion, HookSubject

SIGNATURE = "Tfarm-Signature"
_LATER = (408, 425, 429)


def body_of(event: HookQuestion | HookNotice, sequence: int, epoch: int, at_unix: float) -> bytes:
    """The JSON document of an event.

    `sequence` counts the events of its stream from 1 on, `epoch` says since when.
    """
    document = {
        "event": event.event.value,
        "sequence": sequence,
        "epoch": epoch,
        "time": round(at_unix, 3),
        **_subject(event.subject),
    }
    if isinstance(event, HookNotice):
        document |= {
            "seconds": round(event.seconds, 3),
            "bytes": event.bytes,
            "reason": event.reason,
        }
        if event.file:
            document["file"] = event.file
        if event.object:
            document["object"] = event.object
        if event.event is HookEvent.QUALITY:
            document["is_low"] = event.is_low
        if not event.subject.rendition:
            document["findings"] = [
                {"code": found.code, "words": found.words, "is_fault": found.is_fault}
                for found in event.findings
            ]
    return json.dumps(document, separators=(",", ":")).encode()


def headers_of(secret: str, body: bytes, at_unix: float) -> Mapping[str, str]:
    """The headers of a request that is sent now."""
    at = int(at_unix)
    signed = hmac.digest(secret.encode(), f"{at}.".encode() + body, "sha256").hex()
    return {
        "Content-Type": "application/json",
        "User-Agent": "tfarm",
        SIGNATURE: f"t={at},sha256={signed}",
    }


def failure_of(status: int) -> str:
    """Why a notice was not taken, by the status of the answer; "": it was."""
    return "" if 200 <= status < 300 else f"it answers HTTP {status}"


def is_final(status: int) -> bool:
    """Whether the same notice would not be taken either if it were sent again."""
    return 300 <= status < 500 and status not in _LATER


def _subject(subject: HookSubject) -> dict[str, Any]:
    found: dict[str, Any] = {
        "session": subject.session,
        "app": subject.app,
        "stream": subject.key,
        "address": subject.address,
        "protocol": subject.protocol,
        "query": subject.query,
    }
    if subject.rendition:
        found["rendition"] = subject.rendition
    return found

"""What status says of the recordings of a stream. Pure."""

from typing import Any

from common.ipc.record_messages import RecordStatus


def recording_row(one: RecordStatus) -> dict[str, Any]:
    """One recording, as the status document has it."""
    return {
        "rendition": one.rendition,
        "state": one.state.value,
        "file": one.file,
        "reason": one.reason,
        "seconds": one.seconds,
        "bytes": one.bytes,
        "files": one.files,
        "dropped": one.dropped,
    }


def recording_words(one: dict[str, Any]) -> str:
    """The same as a line for people."""
    words = f"{one['rendition']}: {one['state']} for {one['seconds']:.0f} s"
    if one["reason"] and one["state"] == "failed":
        words += f" ({one['reason']})"
    written = f"{one['bytes'] / 1e6:.1f} MB"
    return f"{words}, {written}, {one['files']} files finished, {one['file'] or 'no file'}"

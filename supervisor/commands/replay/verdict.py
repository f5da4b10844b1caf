"""What became of a capture that was published again, in words. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from common.capture.capture_file import CaptureInfo
from common.capture.headers_only import AUDIO, VIDEO
from supervisor.commands.status.stream_selection import problems

LONG_SEND_S = 0.1  # a publisher's send that waits for so long is worth a word


@dataclass(slots=True)
class Sent:
    """What was sent, and how it ended."""

    refused: str = ""  # it was not let in, in the server's words
    fault: str = ""  # why not all of it went out
    is_interrupted: bool = False
    began_s: float = 0.0
    ended_s: float = 0.0
    media_s: float = 0.0  # of the capture's time
    bytes: int = 0
    longest_send_s: float = 0.0
    messages: dict[int, int] = field(default_factory=dict)  # by type

    def count(self, type_id: int, size: int, seconds: float) -> None:
        """One message has been sent, which took so long."""
        self.messages[type_id] = self.messages.get(type_id, 0) + 1
        self.bytes += size
        self.longest_send_s = max(self.longest_send_s, seconds)


def heading(name: str, info: CaptureInfo, url: str) -> Iterator[str]:
    """What is about to be published."""
    when = f"{datetime.fromtimestamp(info.created_unix, UTC):%Y-%m-%d %H:%M:%S} UTC"
    by = f", sent by {info.encoder}" if info.encoder else ""
    yield f"{name}: {info.app}/{info.key_hash} of {when}{by}; {info.reason}"
    if info.starts_late:
        yield "It begins in the middle: what the publisher sent before is not in it."
    if info.headers_only:
        yield "Pictures and sound are left out: decoders will fail, all else is as it was."
    yield f"Publishing to {url}; Ctrl-C ends it."


def sent_lines(sent: Sent, speed: float) -> Iterator[str]:
    """What was sent."""
    if sent.refused:
        yield f"Refused: {sent.refused}"
        return
    counts = sent.messages
    others = sum(counts.values()) - counts.get(VIDEO, 0) - counts.get(AUDIO, 0)
    yield (
        f"Sent {counts.get(VIDEO, 0)} video, {counts.get(AUDIO, 0)} audio and {others} data "
        f"messages, {sent.bytes} bytes: {sent.media_s:.1f} s of the capture in "
        f"{sent.ended_s - sent.began_s:.1f} s"
        + (f", at {speed:g} times its speed" if speed != 1 else "")
    )
    if sent.longest_send_s >= LONG_SEND_S:
        yield f"The server took its time: one send waited for {sent.longest_send_s:.2f} s."
    if sent.fault:
        yield f"Cut off: {sent.fault}"
    elif sent.is_interrupted:
        yield "Interrupted."


def stream_lines(stream: dict[str, Any] | None, words: Sequence[str]) -> Iterator[str]:
    """What the farm said of the stream when it was last looked at."""
    if stream is None:
        yield "No status of it: it was over too soon, or is on a farm that is not asked from here."
        return
    yield (
        f"Ingest: {stream['width']}x{stream['height']}, {stream['frames']} pictures, "
        f"{stream['fps']:.1f} fps, GOP {stream['gop_ms'] / 1000:.1f} s, "
        f"sound: {stream['audio'] or 'none'}"
    )
    wrong = list(dict.fromkeys([stream["source_clock"], *words, *problems(stream)]))
    yield from (f"  {text}" for text in wrong if text)
    yield from (f"  dropped: {count} ({place})" for place, count in stream["dropped"].items())
    yield (
        f"Worker: {stream['device'] or 'none'}, {stream['frames_in']} pictures in, "
        f"{stream['frames_decoded']} decoded, {stream['decode_errors']} errors, "
        f"{stream['dropped_by_worker']} dropped"
    )
    for rendition in stream["renditions"]:
        yield (
            f"  {rendition['name']}: {rendition['frames']} pictures, {rendition['fps']:.1f} fps, "
            f"{rendition['dropped']} dropped"
        )
    yield from (f"  {entry['name']}: omitted, {entry['reason']}" for entry in stream["omitted"])

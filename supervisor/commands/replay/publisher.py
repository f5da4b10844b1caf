"""Sends a capture's messages when they came (IO: a socket, a file, signals)."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common.capture.capture_file import CapturedMessage, CaptureReader
from common.capture.headers_only import AUDIO, VIDEO
from common.errors import CaptureError, TfarmError
from common.flv import amf0
from common.flv.on_metadata import NAME
from common.rtmp.address import parse_publish
from common.rtmp.blocking_client import RtmpPublisher, RtmpRefused
from common.rtmp.client import split_url
from common.words import printable
from supervisor.commands.line.client import CommandFailed, NotRunning, status, understanding
from supervisor.commands.replay.verdict import Sent, heading, sent_lines, stream_lines

PIECE_BYTES = 64 * 1024
LOOK_S = 0.5  # between looks at the farm's status
LISTEN_S = 0.2  # while nothing is to be sent, the server may have something to say
LAST_LOOK_S = 1.5  # after the last message: what was counted by then is in the status

Say = Callable[[str], None]


class ReplayFailed(TfarmError):
    """It could not even begin."""


def replay(file: Path, url: str | None, speed: float, run_dir: Path, say: Say) -> bool:
    """Publish the capture, up to its end, a refusal or Ctrl-C; whether it all went out.

    Raises:
        ReplayFailed: the file, the address or the farm is not to be had.
    """
    try:
        with file.open("rb") as pieces:
            reader = CaptureReader(iter(lambda: pieces.read(PIECE_BYTES), b""))
            target = url if url is not None else _url_of_farm(run_dir, reader)
            for line in heading(file.name, reader.info, without_query(target)):
                say(printable(line))
            with _interruptible() as stopped, _Looks(run_dir, target) as looks:
                sent = _publish(reader, target, speed, stopped)
    except CaptureError as error:
        raise ReplayFailed(f"{file}: {error}") from error
    except OSError as error:
        raise ReplayFailed(f"{file}: {error.strerror or error}") from error
    try:
        with understanding():
            lines = [*sent_lines(sent, speed), *stream_lines(looks.stream, looks.words)]
    except CommandFailed as error:
        lines = [*sent_lines(sent, speed), str(error)]
    for line in lines:
        say(printable(line))
    return not sent.fault


def without_query(url: str) -> str:
    """The address without what may be a publish key."""
    return url.partition("?")[0]


def _url_of_farm(run_dir: Path, reader: CaptureReader) -> str:
    try:
        document = status(run_dir)
        with understanding():
            known = ", ".join(document["apps"])
            address = str(document["listen"]["rtmp"][0])
    except (NotRunning, CommandFailed) as error:
        raise ReplayFailed(f"{error}; give an address to publish to") from error
    app = reader.info.app
    if app not in document["apps"]:
        raise ReplayFailed(f"the farm has no app {app!r}, it has {known}: give an address")
    return f"rtmp://{address}/{app}/replay-{reader.info.key_hash}"


@contextlib.contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Set by Ctrl-C and SIGTERM: the publisher then says goodbye."""
    stopped = threading.Event()
    before = {
        number: signal.signal(number, lambda number, frame: stopped.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _publish(reader: CaptureReader, url: str, speed: float, stopped: threading.Event) -> Sent:
    sent = Sent()
    try:
        publisher = RtmpPublisher(url)
    except ValueError as error:
        raise ReplayFailed(f"{without_query(url)}: {error}") from error
    try:
        publisher.connect()
    except RtmpRefused as error:
        sent.refused = sent.fault = str(error)
        return sent
    except (OSError, TfarmError) as error:
        raise ReplayFailed(f"cannot publish to {without_query(url)}: {error}") from error
    with contextlib.closing(publisher):
        sent.began_s = time.monotonic()
        try:
            for read in reader:
                _wait(publisher, sent.began_s + read.at_us / 1e6 / speed, stopped)
                if stopped.is_set():
                    sent.is_interrupted = True
                    break
                for message in read.messages:
                    _send(publisher, message, sent)
                sent.media_s = read.at_us / 1e6
        except (OSError, TfarmError) as error:
            if isinstance(error, CaptureError):
                raise
            sent.fault = str(error)
        sent.ended_s = time.monotonic()
        if not sent.fault:
            stopped.wait(LAST_LOOK_S)  # a stream that has ended is in no status
    return sent


def _wait(publisher: RtmpPublisher, until_s: float, stopped: threading.Event) -> None:
    while (left_s := until_s - time.monotonic()) > 0 and not stopped.is_set():
        stopped.wait(min(left_s, LISTEN_S))
        publisher.take_input()


def _send(publisher: RtmpPublisher, message: CapturedMessage, sent: Sent) -> None:
    payload = message.payload()
    began_s = time.monotonic()
    if message.type_id == VIDEO:
        publisher.send_video(message.timestamp, payload)
    elif message.type_id == AUDIO:
        publisher.send_audio(message.timestamp, payload)
    else:
        name = amf0.leading_string(payload)
        if name is not None and name[0] == NAME:
            publisher.send_metadata(payload, message.timestamp)
        else:
            publisher.send_data(payload, message.timestamp)
    sent.count(message.type_id, len(payload), time.monotonic() - began_s)


class _Looks:
    """Looks at the farm's status beside the publishing; the last state of the stream stays."""

    def __init__(self, run_dir: Path, url: str) -> None:
        self.stream: dict[str, Any] | None = None
        self.words: list[str] = []  # everything that was said of the source meanwhile
        self._run_dir = run_dir
        self._url = url
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> "_Looks":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        try:
            address = split_url(self._url)
            asked = parse_publish(address.app, "", address.name)
        except (TfarmError, ValueError):
            return
        while not self._over.wait(LOOK_S):
            try:
                document = status(self._run_dir)
                with understanding():
                    self._look(document, asked.app, asked.key)
            except (NotRunning, CommandFailed):
                return  # another host's farm, perhaps

    def _look(self, document: dict[str, Any], app: str, key: str) -> None:
        for stream in document["streams"]:
            if (stream["app"], stream["key"]) == (app, key):
                self.stream = stream
                words = [f"source: {notice['words']}" for notice in stream["notices"]]
                self.words += [text for text in words if text not in self.words]

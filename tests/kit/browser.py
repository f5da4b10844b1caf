"""A page in Debian's Chromium, by its DevTools protocol over a pipe: evaluated, clicked, drawn.

No port and no library: messages are JSON objects that end with a zero byte, on the descriptors 3
and 4 of the browser (`--remote-debugging-pipe`).
"""

import base64
import contextlib
import fcntl
import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.kit.waiting import patient, until

TIMEOUT_S = patient(30.0)


class PageFailed(AssertionError):
    """What the page's code threw."""


class Browser:
    """One tab, which has no page yet."""

    def __init__(self, *options: str, size: tuple[int, int] = (1280, 900)) -> None:
        self.console: list[str] = []  # errors and warnings of the page
        self._folder = tempfile.TemporaryDirectory(
            prefix="tfarm-browser-", ignore_cleanup_errors=True
        )
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        self._options = (
            *("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--mute-audio"),
            *("--remote-debugging-pipe", "--no-first-run", "--hide-scrollbars"),
            *(f"--user-data-dir={self._folder.name}", f"--window-size={size[0]},{size[1]}"),
            *options,
        )
        self._process = _start(self._options, to_browser, from_browser)
        os.close(to_browser)
        os.close(from_browser)
        self._unread = b""
        self._last_id = 0
        self._session = ""

    def __enter__(self) -> Self:
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(t["targetId"] for t in targets if t["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            print("\n".join(self.console))
        self._session = ""
        with contextlib.suppress(OSError, TimeoutError):
            self.call("Browser.close")
        try:
            self._process.wait(TIMEOUT_S)
        finally:
            self._process.kill()
            os.close(self._out)
            os.close(self._in)
            self._folder.cleanup()

    # ---- what a test does ---------------------------------------------------------------------

    def open(self, url: str) -> None:
        """Go to a page, and wait until it is there."""
        self.call("Page.navigate", url=url)
        self.wait(
            f"document.readyState === 'complete' && location.href === {json.dumps(url)}", 30, url
        )

    def evaluate(self, script: str) -> Any:
        """An expression's value, of the promise if it is one."""
        found = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True,
            userGesture=True,
        )  # fmt: skip
        if "exceptionDetails" in found:
            details = found["exceptionDetails"]
            raise PageFailed(details.get("exception", {}).get("description", details["text"]))
        return found["result"].get("value")

    def wait(self, script: str, seconds: float, what: str) -> Any:
        """Until an expression is true."""
        return until(lambda: self.evaluate(script), seconds, what, every=0.05)

    def click(self, selector: str) -> None:
        """Press the first element of a CSS selector, as a user does."""
        place = self.evaluate(
            f"(() => {{ const node = document.querySelector({json.dumps(selector)});"
            "node.scrollIntoView({block: 'center'}); const box = node.getBoundingClientRect();"
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call(
                "Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left",
                clickCount=1,
            )  # fmt: skip

    def press(self, key: str, code: int) -> None:
        """A key, by its name and its Windows key code."""
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code
            )

    def look_like(self, *, width: int, height: int, scheme: str, is_phone: bool = False) -> None:
        """Be a screen of this size, `light` or `dark`."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, mobile=is_phone,
            deviceScaleFactor=1,
        )  # fmt: skip
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def draw(self, path: Path) -> None:
        """Write what is seen, as PNG."""
        found = self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(found["data"]))

    # ---- the protocol -------------------------------------------------------------------------

    def call(self, method: str, **parameters: Any) -> Any:
        self._last_id += 1
        message: dict[str, Any] = {"id": self._last_id, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        for answer in self._messages():
            if answer.get("id") == self._last_id:
                if "error" in answer:
                    raise PageFailed(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self._note(answer)
        raise AssertionError("it is gone")

    def _messages(self) -> Iterator[Any]:
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            while b"\0" in self._unread:
                first, _, self._unread = self._unread.partition(b"\0")
                yield json.loads(first)
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._in], [], [], left)[0]:
                raise TimeoutError("Chromium does not answer")
            data = os.read(self._in, 1 << 20)
            if not data:
                raise OSError("Chromium has ended")
            self._unread += data

    def _note(self, event: Any) -> None:
        parameters = event.get("params", {})
        match event.get("method"):
            case "Runtime.consoleAPICalled" if parameters["type"] in ("error", "warning"):
                words = [
                    str(one.get("value", one.get("description"))) for one in parameters["args"]
                ]
                self.console.append(" ".join(words))
            case "Runtime.exceptionThrown":
                details = parameters["exceptionDetails"]
                self.console.append(
                    details.get("exception", {}).get("description", details["text"])
                )
            case "Log.entryAdded" if parameters["entry"]["level"] == "error":
                self.console.append(parameters["entry"]["text"])


def _start(command: Sequence[str], read: int, write: int) -> "subprocess.Popen[bytes]":
    """With these descriptors as its 3 and 4."""
    far = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 10) for descriptor in (read, write)]
    try:
        return subprocess.Popen(
            ["bash", "-c", f'exec 3<&{far[0]} 4>&{far[1]}; exec "$@"', "bash", *command],
            pass_fds=far,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    finally:
        for descriptor in far:
            os.close(descriptor)

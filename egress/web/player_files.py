"""The player's page and its files, as they are sent: read once, compressed once. Pure.

They stand in `egress/web/player/`, as they are: there is no build step. All of them are asked for
below one name that changes with their content, so browsers and CDNs may keep them for good. The
page itself names its files relative to its own address: a proxy may have the server in a folder.
"""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "player"
PAGE: Final = "page.html"
PLACE: Final = "{player}"  # in the page: the way to its files
TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mjs": "text/javascript",
    ".txt": "text/plain",
}
FOREVER: Final = "public, max-age=31536000, immutable"
# Nothing from elsewhere; other sites may have the page in a frame of theirs.
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "media-src 'self' blob:",
        "worker-src 'self' blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors *",
    )
)
MAX_DEPTH: Final = 8  # of a page's address


@dataclass(frozen=True, slots=True)
class PlayerFile:
    """One file."""

    content: bytes = field(repr=False)
    content_type: str

    @property
    def compressed(self) -> bytes:
        return gzip.compress(self.content, mtime=0)


class PlayerFiles:
    """All of a folder."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {
            path.name: PlayerFile(path.read_bytes(), TYPES[path.suffix])
            for path in sorted(folder.iterdir())
        }
        digest = hashlib.sha256()
        for name, file in self._files.items():
            digest.update(name.encode() + b"\0" + hashlib.sha256(file.content).digest())
        self.version = digest.hexdigest()[:16]
        self._compressed: dict[str, bytes] = {}
        self._page = self._files[PAGE].content.decode()

    def page(self, depth: int) -> bytes:
        """Return the page for an address with so many folders: /play/live/cam1 has two."""
        way = "../" * min(depth, MAX_DEPTH) + f"player/{self.version}/"
        return self._page.replace(PLACE, way).encode()

    def file(self, name: str, *, takes_gzip: bool) -> tuple[bytes, str, bool] | None:
        """Return content, type, and whether it is compressed; None: there is no such file."""
        found = self._files.get(name)
        if found is None or name == PAGE:
            return None
        if not takes_gzip:
            return found.content, found.content_type, False
        if name not in self._compressed:
            self._compressed[name] = found.compressed
        return self._compressed[name], found.content_type, True

    def cache_control(self, version: str) -> str:
        """Return for how long a file may be kept that was asked for below a version.

        A page that is open since before an upgrade asks for the version that it came with, and
        gets the files of today; nobody keeps these by that name.
        """
        return FOREVER if version == self.version else "no-store"

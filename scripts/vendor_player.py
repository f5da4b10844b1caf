#!/usr/bin/env python3
"""Take the JavaScript that pages need out of npm's packages, as a folder's vendored.json says.

    scripts/vendor_player.py egress/web/player               # what viewers get, kept in the tree
    scripts/vendor_player.py tests/browsers --into build/players   # what tests compare with

The manifest pins each package by version and by npm's integrity (SHA-512 of its archive), names the
files that are taken, their licences, and the SHA-256 of each. To take another version, change it
there and run with `--pin`, which writes integrity and sums anew; read the licences again then.
Needs npm.
"""

import argparse
import base64
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MANIFEST = "vendored.json"
Json = dict[str, Any]


class Mismatch(Exception):
    """npm gave something else than what is pinned."""


def integrity(archive: bytes) -> str:
    """Name an archive as npm does."""
    return "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()


def packed(name: str, version: str) -> bytes:
    """Return a package's archive, by npm."""
    with tempfile.TemporaryDirectory(prefix="tfarm-npm-") as folder:
        command = ["npm", "pack", "--silent", "--pack-destination", folder, f"{name}@{version}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=300)
        (found,) = Path(folder).glob("*.tgz")
        return found.read_bytes()


def taken(package: Json, archive: bytes, *, pins: bool) -> Mapping[str, bytes]:
    """Return the files of a package by their name in the folder; `pins` notes what they are.

    Raises:
        Mismatch: the archive or a file is not what the manifest says.
    """
    if pins:
        package["integrity"] = integrity(archive)
    if integrity(archive) != package["integrity"]:
        raise Mismatch(f"{package['name']}: the archive's integrity is {integrity(archive)}")
    files = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        for name, entry in package["files"].items():
            member = opened.extractfile(f"package/{entry['from']}")
            if member is None:
                raise Mismatch(f"{package['name']}: {entry['from']} is no file")
            files[name] = member.read()
            found = hashlib.sha256(files[name]).hexdigest()
            if pins:
                entry["sha256"] = found
            if entry["sha256"] != found:
                raise Mismatch(f"{package['name']}: the SHA-256 of {entry['from']} is {found}")
    return files


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help=f"which has {MANIFEST}")
    parser.add_argument("--into", type=Path, help="where files go (default: that folder)")
    parser.add_argument("--pin", action="store_true", help="take what npm gives, and pin it")
    options = parser.parse_args()
    manifest = options.folder / MANIFEST
    document = json.loads(manifest.read_text())
    into = options.into or options.folder
    into.mkdir(parents=True, exist_ok=True)
    for package in document["packages"]:
        archive = packed(package["name"], package["version"])
        try:
            files = taken(package, archive, pins=options.pin)
        except Mismatch as error:
            print(f"{error}; {manifest} says something else", file=sys.stderr)
            return 1
        for name, content in files.items():
            (into / name).write_bytes(content)
            print(into / name)
    if options.pin:
        manifest.write_text(json.dumps(document, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

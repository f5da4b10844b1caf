#!/usr/bin/env python3
"""Print a software bill of materials of what tfarm installs, as CycloneDX 1.6 (`make sbom`).

Packages and hashes come from requirements/*.txt, licences from the installed packages; JavaScript
of npm's from egress/web/player/vendored.json, with the libraries inside it. Wheels bring
shared libraries of their own, which no package index tells of: those of the installed wheels are
listed inside their package, with the licences of `BUNDLED`. A library that is not in that table is
an error, so that none comes in unseen.
"""

import argparse
import base64
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SETS = ("runtime", "webrtc", "gpu12", "gpu13")
VENDORED = ROOT / "egress/web/player/vendored.json"

# What wheels bring: the beginning of a file's name, the licence of its project (SPDX).
BUNDLED: Mapping[str, str] = {
    "libSvtAv1Enc": "BSD-3-Clause-Clear AND AOM-Patent-1.0",
    "libXau": "MIT",
    "libasound": "LGPL-2.1-or-later",
    "libavcodec": "GPL-3.0-or-later",  # with libx264 and libx265 linked: see SECURITY.md
    "libavdevice": "GPL-3.0-or-later",
    "libavfilter": "GPL-3.0-or-later",
    "libavformat": "GPL-3.0-or-later",
    "libavutil": "GPL-3.0-or-later",
    "libswresample": "GPL-3.0-or-later",
    "libswscale": "GPL-3.0-or-later",
    "libcrc32c": "BSD-3-Clause",  # Google's crc32c, in google-crc32c
    "libdav1d": "BSD-2-Clause",
    "libdrm": "MIT",
    "libgfortran": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "libgmp": "LGPL-3.0-or-later OR GPL-2.0-or-later",
    "libgnutls": "LGPL-2.1-or-later",
    "libhogweed": "LGPL-3.0-or-later OR GPL-2.0-or-later",
    "libmp3lame": "LGPL-2.0-or-later",
    "libnettle": "LGPL-3.0-or-later OR GPL-2.0-or-later",
    "libopencore-amr": "Apache-2.0",
    "libopus": "BSD-3-Clause",
    "libquadmath": "LGPL-2.1-or-later",
    "libscipy_openblas": "BSD-3-Clause",
    "libsharpyuv": "BSD-3-Clause",
    "libsodium": "ISC",
    "libunistring": "LGPL-3.0-or-later OR GPL-2.0-or-later",
    "libvpl": "MIT",
    "libvpx": "BSD-3-Clause",
    "libwebp": "BSD-3-Clause",
    "libx264": "GPL-2.0-or-later",
    "libx265": "GPL-2.0-or-later",
    "libxcb": "MIT",
    "libzmq": "MPL-2.0",
}

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9_.-]+)(\[[^]]*\])?==(?P<version>[^ ;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_LIBRARY = re.compile(r"\.libs/(?P<name>lib[^/]+?)(-[0-9a-f]{8})?\.so(?P<version>[.0-9]*)$")

Json = dict[str, Any]


class UnknownLibrary(Exception):
    """A wheel brings a library that `BUNDLED` does not name."""


def pins(text: str) -> Iterator[tuple[str, str, list[str]]]:
    """Yield name, version and SHA-256 sums of each package that a requirements file pins."""
    for block in text.replace("\\\n", " ").splitlines():
        if found := _PIN.match(block.strip()):
            yield found["name"].lower(), found["version"], _HASH.findall(block)


def libraries(files: Sequence[str]) -> list[Json]:
    """List the libraries among a wheel's files, as components.

    Raises:
        UnknownLibrary: one has no licence in `BUNDLED`.
    """
    components = []
    for file in sorted(files):
        found = _LIBRARY.search(file)
        if found is None:
            continue
        known = max((name for name in BUNDLED if found["name"].startswith(name)), default=None)
        if known is None:
            raise UnknownLibrary(f"{file}: give its licence in scripts/sbom.py, BUNDLED")
        components.append(
            {
                "type": "library",
                "name": found["name"],
                "version": found["version"].lstrip("."),
                "licenses": [{"expression": BUNDLED[known]}],
            }
        )
    return components


def component(name: str, version: str, hashes: Sequence[str]) -> Json:
    """Describe a pinned package, with its licence and its libraries where it is installed."""
    purl = f"pkg:pypi/{name}@{version}"
    found: Json = {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "externalReferences": [
            {
                "type": "distribution",
                "url": purl,
                "hashes": [{"alg": "SHA-256", "content": content} for content in hashes],
            }
        ],
    }
    try:
        installed = distribution(name)
    except PackageNotFoundError:
        return found
    if licence := _licence(installed):
        found["licenses"] = [licence]
    if brought := libraries([str(file) for file in installed.files or ()]):
        found["components"] = brought
    return found


def vendored(manifest: Json) -> list[Json]:
    """Describe the packages of npm whose files are in the tree."""
    components = []
    for package in manifest["packages"]:
        purl = _npm_purl(package)
        content = base64.b64decode(package["integrity"].removeprefix("sha512-")).hex()
        components.append(
            {
                "type": "library",
                "bom-ref": purl,
                **_named(package),
                "purl": purl,
                "externalReferences": [
                    {
                        "type": "distribution",
                        "url": purl,
                        "hashes": [{"alg": "SHA-512", "content": content}],
                    }
                ],
                "components": [
                    {"type": "library", **_named(inner), "purl": _npm_purl(inner)}
                    for inner in package["holds"]
                ],
            }
        )
    return components


def document(sets: Sequence[str]) -> Json:
    """Make the whole document; a package that stands in several sets is listed once."""
    packages: dict[tuple[str, str], list[str]] = {}
    for name in sets:
        for package, version, hashes in pins((ROOT / f"requirements/{name}.txt").read_text()):
            packages.setdefault((package, version), hashes)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "name": "tfarm",
                "version": distribution("tfarm").version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": [
            *(component(*key, hashes) for key, hashes in sorted(packages.items())),
            *vendored(json.loads(VENDORED.read_text())),
        ],
    }


def _named(package: Json) -> Json:
    licences = [{"license": {"id": package["licence"]}}]
    return {"name": package["name"], "version": package["version"], "licenses": licences}


def _npm_purl(package: Json) -> str:
    return f"pkg:npm/{package['name'].replace('@', '%40')}@{package['version']}"


def _licence(installed: Distribution) -> Json | None:
    metadata = installed.metadata
    if expression := metadata.get("License-Expression"):
        return {"expression": expression}
    if (name := metadata.get("License", "")) and len(name) < 80:
        return {"license": {"name": name}}
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in metadata.get_all("Classifier") or ()
        if line.startswith("License :: ")
    ]
    return {"license": {"name": "; ".join(classifiers)}} if classifiers else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=SETS, help=", ".join(SETS))
    try:
        json.dump(document(parser.parse_args().sets), sys.stdout, indent=2)
    except UnknownLibrary as error:
        print(error, file=sys.stderr)
        return 1
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())

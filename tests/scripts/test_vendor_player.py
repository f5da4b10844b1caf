"""JavaScript in the tree is what npm has: each file by its hash, with its licence."""

import hashlib
import importlib.util
import io
import json
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PLAYER = ROOT / "egress" / "web" / "player"
MANIFEST = json.loads((PLAYER / "vendored.json").read_text())


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "vendor_player", ROOT / "scripts/vendor_player.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


vendor_player = load()


@pytest.mark.parametrize("package", MANIFEST["packages"], ids=lambda package: package["name"])
def test_each_file_is_what_npm_has(package: dict[str, Any]) -> None:
    for name, entry in package["files"].items():
        content = (PLAYER / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"], name


@pytest.mark.parametrize("package", MANIFEST["packages"], ids=lambda package: package["name"])
def test_its_licence_is_beside_it(package: dict[str, Any]) -> None:
    (licence,) = (name for name in package["files"] if name.endswith(".LICENSE.txt"))
    assert "Apache License" in (PLAYER / licence).read_text()
    assert package["licence"] == "Apache-2.0"


def archive(**files: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as opened:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(content)
            opened.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def test_what_npm_gives_is_pinned_and_anything_else_is_refused() -> None:
    first = archive(main=b"let x;")
    package = {"name": "x", "files": {"x.js": {"from": "main"}}}
    assert vendor_player.taken(package, first, pins=True) == {"x.js": b"let x;"}
    assert vendor_player.taken(package, first, pins=False) == {"x.js": b"let x;"}
    with pytest.raises(vendor_player.Mismatch, match="integrity"):
        vendor_player.taken(package, archive(main=b"let y;"), pins=False)


def test_a_file_that_is_another_is_refused() -> None:
    package = {"name": "x", "files": {"x.js": {"from": "main"}}}
    given = archive(main=b"let x;")
    vendor_player.taken(package, given, pins=True)
    package["files"]["x.js"]["sha256"] = "0" * 64  # type: ignore[index]  # of the table above
    with pytest.raises(vendor_player.Mismatch, match="SHA-256"):
        vendor_player.taken(package, given, pins=False)

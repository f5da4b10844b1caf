"""The software bill of materials names all that is pinned, and every library that wheels bring."""

import importlib.util
import json
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "sbom.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sbom", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sbom = load()


def test_every_pinned_package_is_listed_with_its_hashes() -> None:
    ended = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
    listed = {(each["name"], each["version"]): each for each in found["components"]}
    for name in ("runtime", "webrtc", "gpu12", "gpu13"):
        lines = (ROOT / f"requirements/{name}.txt").read_text().splitlines()
        pinned = [line.split(" ")[0].split("==") for line in lines if "==" in line.split(" ")[0]]
        assert len(pinned) > 5
        for package, version in pinned:
            hashes = listed[package.lower(), version]["externalReferences"][0]["hashes"]
            assert hashes
            assert all(len(each["content"]) == 64 for each in hashes)


def test_pyavs_libraries_are_listed_with_the_licences_that_matter() -> None:
    (av,) = [each for each in sbom.document(["runtime"])["components"] if each["name"] == "av"]
    licences = {each["name"]: each["licenses"][0]["expression"] for each in av["components"]}
    assert licences["libx264"].startswith("GPL")
    assert licences["libx265"].startswith("GPL")
    assert licences["libavcodec"].startswith("GPL")


def test_every_installed_wheels_libraries_have_a_licence() -> None:
    for installed in distributions():
        sbom.libraries([str(file) for file in installed.files or ()])


def test_a_library_that_nobody_knows_is_an_error_that_names_it() -> None:
    with pytest.raises(sbom.UnknownLibrary, match=r"libnew-01234567\.so\.3"):
        sbom.libraries(["av.libs/libnew-01234567.so.3"])


def test_a_pin_is_read_with_an_extra_and_a_marker() -> None:
    text = 'a[b]==1.2 ; python_version < "3.12" \\\n    --hash=sha256:' + "0" * 64 + "\n"
    assert list(sbom.pins(text)) == [("a", "1.2", ["0" * 64])]


def test_vendored_javascript_is_listed_with_what_it_holds() -> None:
    manifest = json.loads(sbom.VENDORED.read_text())
    listed = {each["name"]: each for each in sbom.vendored(manifest)}
    assert set(listed) == {"hls.js", "mpegts.js"}
    for each in listed.values():
        (reference,) = each["externalReferences"]
        assert len(reference["hashes"][0]["content"]) == 128
        assert each["licenses"] == [{"license": {"id": "Apache-2.0"}}]
        assert all(
            inner["licenses"] and "@" not in inner["purl"][:12] for inner in each["components"]
        )

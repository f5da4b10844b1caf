"""The wheel of tfarm beside other packages: it takes one import name, and finds its own by it."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import tfarm
from tests.kit.farm import Farm
from tests.kit.installed import ROOT, install, make_environment, make_wheel, site_of

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WHEEL_RULES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
# what another distribution may well have: PyPI's supervisor is one
NAMES = sorted(tfarm.PACKAGES)
FOREIGN = 'raise SystemExit("a package of another program was imported")\n'


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with packages of the same names, in which tfarm is installed afterwards."""
    root = make_environment(tmp_path_factory.mktemp("environment"))
    for name in NAMES:
        (site_of(root) / name).mkdir()
        (site_of(root) / name / "__init__.py").write_text(FOREIGN)
    install(root, wheel)
    return root


def run(environment: Path, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [environment / "bin" / "tfarm", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        cwd=environment,
        env={**os.environ, **environ},
    )


def test_all_packages_are_in_the_wheel_and_known_to_the_command() -> None:
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert set(tfarm.PACKAGES) | {"tfarm"} == folders
    assert set(WHEEL_RULES["only-include"]) == folders
    assert WHEEL_RULES["sources"] == {name: f"tfarm/packages/{name}" for name in tfarm.PACKAGES}


def test_the_wheel_takes_one_import_name(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"tfarm"}
    inside = {name.split("/")[2] for name in names if name.startswith("tfarm/packages/")}
    assert inside == set(tfarm.PACKAGES)
    assert "tfarm/packages/worker/devices/gpu/scale.cu" in names  # what is no Python, too
    assert "tfarm/packages/worker/devices/gpu/to_nv12.cu" in names


def test_packages_of_the_same_names_are_neither_hurt_nor_imported(environment: Path) -> None:
    for name in NAMES:
        assert (site_of(environment) / name / "__init__.py").read_text() == FOREIGN
    assert run(environment, "--version").stdout.startswith("tfarm ")
    # … nor by a path that somebody has set
    answer = run(environment, "check", "--help", PYTHONPATH=str(site_of(environment)))
    assert answer.returncode == 0, answer.stderr


@pytest.mark.e2e
def test_a_farm_of_the_wheel_runs_beside_such_packages(environment: Path) -> None:
    with Farm(supervisor=(str(environment / "bin" / "tfarm"), "supervisor")) as farm:
        children = farm.status()["children"]
        assert {child["kind"] for child in children} >= {"ingest", "egress", "worker"}
        for child in children:
            where = Path(f"/proc/{child['pid']}/environ").read_bytes()
            assert f"PYTHONPATH={site_of(environment)}/tfarm/packages".encode() in where


def test_a_package_that_was_imported_before_is_named(environment: Path) -> None:
    """A line of a .pth file may import one before tfarm's command has its turn."""
    site = site_of(environment)
    early = site / "common"
    (early / "__init__.py").write_text("")
    hook = site / "early.pth"
    hook.write_text("import common\n")
    try:
        answer = run(environment, "--version")
    finally:
        hook.unlink()
        (early / "__init__.py").write_text(FOREIGN)
    assert answer.returncode == 1
    assert f"the package common of another program stands before tfarm's own: {early}" in (
        answer.stderr
    )
    assert "an environment of its own" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_package_that_is_missing_is_named(tmp_path: Path) -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'tfarm')!r}); import __init__ as tfarm;"
        f"print(tfarm.enter({str(tmp_path)!r}))"
    )
    answer = subprocess.run(
        [sys.executable, "-S", "-I", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    first = tfarm.PACKAGES[0]
    assert answer.stdout == f"the package {first} is missing in {tmp_path}: install tfarm again\n"


def test_the_packages_stand_in_the_wheel_or_beside_the_folder(tmp_path: Path) -> None:
    here = tmp_path / "tfarm" / "__init__.py"
    here.parent.mkdir()
    assert tfarm.packages_root(str(here)) == str(tmp_path)
    (tmp_path / "tfarm" / "packages").mkdir()
    assert tfarm.packages_root(str(here)) == str(tmp_path / "tfarm" / "packages")

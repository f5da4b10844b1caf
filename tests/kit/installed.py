"""tfarm as it is installed: its wheel, in an environment with the dependencies of this one."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]


def make_wheel(out: Path, source: Path = ROOT) -> Path:
    """Build the wheel of a checkout into a folder."""
    command = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    _pip(*command, "--wheel-dir", str(out), str(source))
    (found,) = out.glob("tfarm-*.whl")
    return found


def make_environment(root: Path) -> Path:
    """Make an environment in a folder; tfarm itself is not in it."""
    venv.create(root, with_pip=False, symlinks=True)
    # a .pth file in that folder is not read, since it is no site directory: so not our checkout
    dependencies = sysconfig.get_path("purelib")
    (site_of(root) / "dependencies.pth").write_text(f"{dependencies}\n")
    return root


def site_of(environment: Path) -> Path:
    """Return where an environment's packages stand."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return environment / "lib" / version / "site-packages"


def install(environment: Path, wheel: Path) -> None:
    """Install a wheel, in place of what there is of it."""
    command = ["install", "--quiet", "--no-deps", "--no-index", "--force-reinstall", str(wheel)]
    _pip("--python", str(environment / "bin" / "python"), *command)


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr + done.stdout

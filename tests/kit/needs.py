"""What a test needs and a machine may lack: it is skipped there, and the reason says what to do.

In CI no program is missing: `.ci/run` installs them all, so a test that lacks one fails there.
"""

import os
import shutil
from typing import NoReturn

import pytest

IS_CI = os.environ.get("CI", "") not in ("", "0", "false")


def needs_program(name: str, package: str = "") -> pytest.MarkDecorator:
    """Mark what runs a program of Debian's."""
    is_missing = shutil.which(name) is None
    return pytest.mark.skipif(is_missing and not IS_CI, reason=_missing(name, package or name))


def needs_root(why: str) -> pytest.MarkDecorator:
    """Mark what only root can do."""
    return pytest.mark.skipif(os.geteuid() != 0, reason=f"not root: {why}")


def lacks(name: str, package: str) -> NoReturn:
    """Skip the running test for something of Debian's that is not there; in CI it fails."""
    (pytest.fail if IS_CI else pytest.skip)(_missing(name, package))
    raise AssertionError


def _missing(name: str, package: str) -> str:
    return f"{name} is not installed: apt-get install {package}"

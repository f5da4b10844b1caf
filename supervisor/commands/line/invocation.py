"""The words by which this tfarm is called from a shell, for texts that name a command to type.

`make run` puts `tfarm` into `.venv/bin`, which is on nobody's PATH; a copied "tfarm status" would
not be found, or be another tfarm.
"""

import os
import shlex
import shutil
import sys
from pathlib import Path


def tfarm_command() -> str:
    """`tfarm` where the shell finds this one by that name, else the path of its script."""
    script = Path(sys.executable).with_name("tfarm")
    return command_for(script, shutil.which("tfarm"), Path.cwd())


def command_for(script: Path, on_path: str | None, here: Path) -> str:
    """How `script` is called in the folder `here`, where `tfarm` on the PATH is `on_path`.

    A path inside the folder is written from there (`.venv/bin/tfarm`), and quoted where it must be.
    """
    if not script.exists():
        return "tfarm"  # run from a checkout that is not installed
    if on_path is not None and os.path.realpath(on_path) == os.path.realpath(script):
        return "tfarm"
    path = script.relative_to(here) if script.is_relative_to(here) else script
    return shlex.quote(str(path))

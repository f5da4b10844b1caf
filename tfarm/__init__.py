"""The command `tfarm`, and the one import name that tfarm's wheel brings.

tfarm's packages have plain names (`common`, `worker`, `supervisor`, …), and so have packages of
others. In the wheel they stand in `tfarm/packages`, where no other package is met or overwritten
and nobody but tfarm finds them; in a checkout they stand beside this folder. `enter` puts that
place before all others, for this process and, by PYTHONPATH, for those that it starts.
"""

import importlib.util
import os
import sys

PACKAGES = ("api", "cluster", "common", "egress", "hooks", "ingest", "supervisor", "worker")


def packages_root(here: str = __file__) -> str:
    """Return the directory that holds tfarm's packages: of the wheel, else of the checkout."""
    folder = os.path.dirname(os.path.abspath(here))
    inside = os.path.join(folder, "packages")
    return inside if os.path.isdir(inside) else os.path.dirname(folder)


def enter(root: str) -> str:
    """Have Python look in `root` first; say why it finds another's package all the same, else "".

    Something else may have imported one before, or find packages by another way than the path.
    """
    sys.path[:] = [root, *(entry for entry in sys.path if entry != root)]
    others = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [root, *(entry for entry in others if entry != root)]
    )
    for name in PACKAGES:
        found = _directory_of(name)
        if found is None:
            return f"the package {name} is missing in {root}: install tfarm again"
        if os.path.realpath(found) != os.path.realpath(os.path.join(root, name)):
            return (
                f"the package {name} of another program stands before tfarm's own: {found}. "
                f"Install tfarm in an environment of its own: python3 -m venv, or pipx"
            )
    return ""


def _directory_of(name: str) -> str | None:
    """Return where Python has, or would take, a package from."""
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # imported by something that left no spec
        return str(getattr(sys.modules[name], "__file__", None) or "an unknown place")
    if spec is None:
        return None
    return os.path.dirname(spec.origin) if spec.origin else str(spec.name)


def main() -> None:
    """Run the command line; exit code 1 where tfarm's packages cannot be used."""
    fault = enter(packages_root())
    if fault:
        sys.exit(f"tfarm: {fault}")
    from supervisor.commands.line.cli import main as command_line

    command_line()

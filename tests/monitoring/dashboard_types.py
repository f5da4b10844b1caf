"""Whether the dashboard is as Grafana's own types want it, by the TypeScript compiler.

`package-lock.json` has the packages; they are installed into build/monitoring, once, which needs a
network and npm.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.monitoring.dashboard import DASHBOARD

HERE: Final = Path(__file__).parent
BUILD: Final = HERE.parents[1] / "build" / "monitoring"
LOCK: Final = "package-lock.json"
OPTIONS: Final = {
    "compilerOptions": {
        "strict": True,
        "noEmit": True,
        "module": "nodenext",
        "target": "es2022",
        "skipLibCheck": True,
    },
    "files": ["dashboard.ts"],
}


def why_not() -> str:
    """Why the types cannot be checked; "": they can."""
    return "" if shutil.which("npm") else "npm is not there"


def check_types() -> None:
    """Raises AssertionError with what the compiler says."""
    _install()
    head = (HERE / "dashboard_types.ts").read_text()
    (BUILD / "dashboard.ts").write_text(f"{head}{DASHBOARD.read_text()};\n")
    (BUILD / "tsconfig.json").write_text(json.dumps(OPTIONS))
    said = _run("npx", "--no-install", "tsc", "--project", ".")
    assert not said, f"{DASHBOARD.name} is not as Grafana's types want it:\n{said}"


def _install() -> None:
    lock, installed = (HERE / LOCK).read_bytes(), BUILD / LOCK
    if installed.exists() and installed.read_bytes() == lock and (BUILD / "node_modules").is_dir():
        return
    BUILD.mkdir(parents=True, exist_ok=True)
    (BUILD / "package.json").write_bytes((HERE / "package.json").read_bytes())
    installed.write_bytes(lock)
    said = _run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
    assert (BUILD / "node_modules").is_dir(), f"npm ci: {said}"


def _run(*command: str) -> str:
    run = subprocess.run(command, cwd=BUILD, capture_output=True, text=True, timeout=300)
    return (run.stdout + run.stderr).strip() if run.returncode else ""

"""The command line as a person meets it: words and exit codes."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from common.version import VERSION
from supervisor.commands.line.cli import app
from supervisor.commands.table import COMMANDS

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[4]


def tfarm(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "from supervisor.commands.line.cli import main; main()",
            *map(str, arguments),
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "80"},
    )


def inside(*arguments: str) -> Result:
    """The same without a process of its own, which takes half a second."""
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "80"}, prog_name="tfarm")


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    answer = tfarm("--help")
    assert answer.returncode == 0
    for command in ("supervisor", "status", "check", "demo", "stop", "reload", "kick"):
        assert command in answer.stdout
    assert "..." not in answer.stdout.partition("Commands:")[2]  # every line fits
    code = "import sys, supervisor.commands.line.cli; print([m for m in sys.modules if m in HEAVY])"
    heavy = "('zmq', 'msgpack', 'rich', 'av', 'numpy', 'asyncio', 'psutil', 'pynvml', 'pydantic')"
    loaded = subprocess.run(
        [sys.executable, "-c", code.replace("HEAVY", heavy)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
    )
    assert loaded.stdout.strip() == "[]"


def test_every_command_explains_itself_by_h_and_by_help_with_an_example_that_is_right() -> None:
    group: Any = typer.main.get_command(app)
    top = group.make_context("tfarm", [], resilient_parsing=True)
    by_itself = tfarm("status", "-h").stdout.replace("Usage: -c ", "Usage: tfarm ", 1)
    assert inside("status", "-h").stdout == by_itself
    for name, spec in COMMANDS.items():
        answer = inside(name, "-h")
        assert (answer.exit_code, answer.stderr) == (0, "")
        assert answer.stdout == inside("help", name).stdout
        usage = answer.stdout.partition("\n\n")[0]
        assert not set("<{") & set(usage), usage
        assert "[[" not in usage
        first, command, *arguments = spec.example.partition(" > ")[0].split()
        assert (first, command) == ("tfarm", name)
        assert f"Example:\n  {spec.example}\n" in answer.stdout
        found = group.get_command(top, name)
        found.make_context(name, arguments, parent=top)  # raises where it could not be parsed
    assert inside("-h").stdout == inside("help").stdout == inside("--help").stdout
    unknown = tfarm("help", "statsu")
    assert unknown.returncode == 2
    assert "Did you mean 'status'?" in unknown.stderr


def test_ctrl_c_before_the_commands_are_put_together_leaves_no_traceback() -> None:
    """Seen on a busy machine: typer makes them outside of what click catches."""
    code = (
        "import signal, typer.main, supervisor.commands.line.cli as cli;"
        "typer.main.get_command = lambda _: signal.raise_signal(signal.SIGINT); cli.main()"
    )
    answer = subprocess.run(
        ["env", "--default-signal=INT", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert (answer.returncode, answer.stderr) == (130, "")


def test_version() -> None:
    assert tfarm("--version").stdout == f"tfarm {VERSION}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("status", "--nonsense"),
        ("check",),
        ("kick", "live"),
        ("kick", "/x"),
        ("kick", "live/x", "--for", "soon"),
        ("kick", "live/x", "--for", "25h"),
        ("kick", "live/x", "--for", "0s"),
        ("demo", "--size", "1x1"),
        ("supervisor", "--listen", "nowhere"),
    ],
)
def test_a_bad_command_line_is_exit_code_2(arguments: tuple[str, ...]) -> None:
    answer = tfarm(*arguments)
    assert answer.returncode == 2
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    "arguments", [("status",), ("status", "--json"), ("stop",), ("reload",), ("kick", "live/x")]
)
def test_without_a_farm_it_says_so_and_exits_1(arguments: tuple[str, ...], tmp_path: Path) -> None:
    answer = tfarm(*arguments, "--run-dir", tmp_path / "none")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.startswith(f"tfarm: farm not running (there is no {tmp_path / 'none'})")


def test_check_warns_of_what_everybody_may_do_and_read(tmp_path: Path) -> None:
    path = tmp_path / "farm.toml"
    path.write_text(
        '[listen]\nrtmp = "0.0.0.0:1935"\n[templates.live.signing.keys]\nk1 = "'
        + "x" * 16
        + '"\n[templates.tv]\n'
    )
    path.chmod(0o644)
    answer = tfarm("check", path)
    assert answer.returncode == 0
    assert "warning: anybody who reaches 0.0.0.0:1935 may publish to the app tv" in answer.stderr
    assert f"warning: everybody on this host can read {path}, which has secrets" in answer.stderr
    path.chmod(0o640)
    assert "can read" not in tfarm("check", path).stderr


def test_check_names_each_fault_by_its_path(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text('[templates.tv]\nhold = "1s"\n')
    answer = tfarm("check", good)
    assert answer.returncode == 0
    first, *rest = answer.stdout.splitlines()
    assert first == f"OK: {good}: tv (3 renditions)"
    assert any("720p30): 51 units a stream" in line for line in rest)
    bad.write_text("[listen]\nrtmp = 3\n[worker]\nqueue = 3\n")
    answer = tfarm("check", bad)
    assert answer.returncode == 2
    first, second = answer.stderr.splitlines()
    assert first.startswith("listen.rtmp: must be HOST:PORT")
    assert second.startswith("worker.queue: must be a duration")
    assert tfarm("check", tmp_path / "none.toml").returncode == 2


def test_what_would_be_for_nothing_is_a_warning_of_check_and_start(tmp_path: Path) -> None:
    odd = tmp_path / "odd.toml"
    odd.write_text(
        '[devices.capacity]\nfoo = 3\n[[calibration]]\ndevice = "cpu"\ntemplate = "gone"\n'
        'path = "software"\nsource = "640x360@30"\nstreams = 1\nunits = 1\nload = 1\n'
    )
    answer = tfarm("check", odd)
    assert answer.returncode == 0
    warnings = [
        'calibration[0].template: there is no template "gone"',
        "devices.capacity.foo: foo is no GPU of this host",
    ]
    assert answer.stderr.splitlines() == [f"warning: {words}" for words in warnings]
    assert answer.stdout.startswith("OK: ")
    tmp_path.joinpath("file").touch()
    # it says so, and ends: its run directory is none
    started = tfarm("supervisor", odd, "--run-dir", tmp_path / "file")
    assert started.returncode == 1
    assert 'key=calibration[0].template why=there is no template "gone"' in started.stderr


def test_a_supervisor_with_a_bad_configuration_does_not_start(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text("[listen]\nport = 1\n")
    answer = tfarm("supervisor", bad, "--run-dir", tmp_path / "run")
    assert answer.returncode == 2
    assert "listen.port: is no known key" in answer.stderr
    assert not (tmp_path / "run").exists()


def test_a_supervisor_in_an_unusable_directory_says_what_to_do() -> None:
    with TemporaryDirectory(prefix="tf-", dir="/tmp") as name:
        Path(name, "file").touch()
        Path(name).chmod(0o755)
        answer = tfarm("supervisor", "--run-dir", name)
    assert answer.returncode == 1
    assert f"chmod 700 {name}" in answer.stderr


def test_the_demo_starts_a_farm_publishes_and_ends_it() -> None:
    with TemporaryDirectory(prefix="tf-", dir="/tmp") as name:
        options = ("--seconds", "1.5", "--size", "320x180", "--listen", "127.0.0.1:0")
        answer = tfarm("demo", "--run-dir", name, *options)
        assert answer.returncode == 0, answer.stderr
        left = [path.name for path in Path(name).iterdir()]
    assert "No farm runs" in answer.stdout
    assert "ffplay -fflags nobuffer rtmp://127.0.0.1:" in answer.stdout
    assert "Published" in answer.stdout
    assert left == ["supervisor.lock"]

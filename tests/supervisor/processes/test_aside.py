"""Calls in a process of their own: what comes back, and what does not stay."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.config.settings import Settings
from common.errors import ConfigError, ConfigFault
from supervisor.processes.aside import call_aside

ROOT = Path(__file__).parents[3]


def test_a_value_comes_back_from_another_process() -> None:
    assert call_aside(os.getpid) != os.getpid()
    assert call_aside(Settings) == Settings()


def test_an_error_of_ours_comes_back_whole() -> None:
    faults = [ConfigFault("listen.rtmp", "is missing"), ConfigFault("", "is no TOML")]

    def fail() -> None:
        raise ConfigError(faults)

    with pytest.raises(ConfigError) as caught:
        call_aside(fail)
    assert list(caught.value.faults) == faults
    assert str(caught.value) == str(ConfigError(faults))


def test_a_bug_is_told_with_its_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ChildProcessError, match="with 1"):
        call_aside(fail)
    assert "ZeroDivisionError: a bug" in capfd.readouterr().err


def test_a_process_that_is_killed_is_told() -> None:
    with pytest.raises(ChildProcessError, match="with -9"):
        call_aside(lambda: os.kill(os.getpid(), 9))


def test_a_supervisor_reads_its_file_and_holds_no_pydantic(tmp_path: Path) -> None:
    """Ten megabytes of an idle farm."""
    file = tmp_path / "farm.toml"
    file.write_text('[listen]\nrtmp = "127.0.0.1:0"\n')
    code = (
        "import sys; from pathlib import Path; from supervisor import __main__ as supervisor;"
        "settings = supervisor.read_config(Path(sys.argv[1]));"
        "print(settings.listen.port, {'pydantic', 'common.config.load'} & set(sys.modules))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(file)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
        timeout=60,
    )
    assert told.stdout.split() == ["0", "set()"]

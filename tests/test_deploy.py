"""The systemd unit says what the code means; that systemd takes it was seen, not tested here."""

import configparser
from pathlib import Path

from common.config.settings import Settings
from common.errors import ExitCode
from common.ipc.kinds import HEARTBEAT_S
from supervisor.processes.run_dir import SERVICE

UNIT = Path(__file__).parents[1] / "deploy" / "tfarm.service"


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # as configparser's docs do
    parser.read(UNIT)
    return parser


def test_a_hung_supervisor_is_replaced_long_before_its_children_end_without_it() -> None:
    service = unit()["Service"]
    watchdog_s, restart_s = float(service["WatchdogSec"]), float(service["RestartSec"])
    assert watchdog_s >= 5 * HEARTBEAT_S
    assert watchdog_s + restart_s < Settings().orphan_timeout_s / 2
    assert service["WatchdogSignal"] == "SIGKILL"


def test_children_outlive_a_supervisor_and_a_killed_worker_stops_nothing() -> None:
    service = unit()["Service"]
    assert service["KillMode"] == "process"
    assert service["RuntimeDirectoryPreserve"] == "yes"
    assert service["OOMPolicy"] == "continue"
    assert "ExecStop" not in service  # it would run after a crash, too


def test_what_a_restart_cannot_mend_is_not_restarted() -> None:
    service = unit()["Service"]
    assert service["Restart"] == "on-failure"
    assert int(service["RestartPreventExitStatus"]) == ExitCode.USAGE
    assert unit()["Unit"]["StartLimitIntervalSec"] == "0"


def test_commands_look_for_the_farm_where_the_unit_has_it() -> None:
    assert Path("/run", unit()["Service"]["RuntimeDirectory"]) == SERVICE

"""What deploy/ says is what the code means. `make systemd` runs the unit under a systemd."""

import configparser
import re
import textwrap
from pathlib import Path

import pytest

from common.access.exposure import exposure
from common.config.load import load
from common.config.settings import Settings
from common.errors import ConfigError, ExitCode
from common.ipc.kinds import HEARTBEAT_S
from supervisor.processes.run_dir import SERVICE, default_run_dir
from tfarm import PACKAGES

DEPLOY = Path(__file__).parents[1] / "deploy"
UNIT = DEPLOY / "tfarm.service"


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
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


def test_the_unit_lets_the_workers_sandbox_be_made() -> None:
    """A filter that kills in place of an error would end a process that asks what there is."""
    lines = [line for line in UNIT.read_text().splitlines() if line.startswith("SystemCallFilter=")]
    allowed = set(lines[0].partition("=")[2].split())
    asked = {"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "seccomp"}
    assert asked <= allowed
    assert "@system-service" in allowed  # with sched_setattr
    assert all(line.partition("=")[2].startswith("~") for line in lines[1:])
    assert unit()["Service"]["SystemCallErrorNumber"] == "EPERM"


def test_the_unit_hides_no_gpu() -> None:
    names = {line.partition("=")[0] for line in UNIT.read_text().splitlines()}
    hiding = {"PrivateDevices", "DevicePolicy", "ProtectClock", "MemoryDenyWriteExecute"}
    assert names & hiding == set()


def test_the_units_user_and_files_are_made() -> None:
    service = unit()["Service"]
    sysusers = (DEPLOY / "sysusers.conf").read_text()
    assert re.search(rf"^u {service['User']} - ", sysusers, re.MULTILINE)
    assert service["User"] == service["Group"]  # sysusers makes a group of the same name
    config = Path(service["ExecStart"].split()[-1])
    entries = [
        line.split()
        for line in (DEPLOY / "tmpfiles.conf").read_text().splitlines()
        if line[0] != "#"
    ]
    assert ["d", str(config.parent), "0750", "root", service["Group"]] in entries
    assert ["z", f"{config.parent}/*.toml", "0640", "root", service["Group"]] in entries


def test_the_image_has_every_package_and_nothing_else_of_the_checkout() -> None:
    lines = (DEPLOY / "Containerfile.dockerignore").read_text().splitlines()
    kept = {line[1:] for line in lines if line.startswith("!")}
    assert lines[0] == "*"
    project = {"LICENSE", "README.md", "pyproject.toml", "requirements", "deploy/container.toml"}
    assert kept == {"tfarm", *PACKAGES, *project}


def test_the_images_user_and_run_directory_are_those_of_the_manifests() -> None:
    image = (DEPLOY / "Containerfile").read_text()
    (user,) = re.findall(r"^USER (\d+):\1$", image, re.MULTILINE)
    assert f"useradd --uid {user} " in image
    compose, kubernetes = ((DEPLOY / f"{x}.yaml").read_text() for x in ("compose", "kubernetes"))
    (run_dir,) = re.findall(r"RUNTIME_DIRECTORY=(\S+)", image)
    parent = Path(run_dir).parent
    assert default_run_dir({"RUNTIME_DIRECTORY": run_dir}, int(user)) == Path(run_dir)
    assert f"- {parent}:uid={user},gid={user},mode=0700" in compose
    assert f"mountPath: {parent}}}" in kubernetes
    assert {f"runAs{x}: {user}" in kubernetes for x in ("User", "Group")} == {True}
    for text in (compose, kubernetes):
        assert f"http://127.0.0.1:{Settings().api.listen.port}/" in text


def test_a_pod_has_longer_than_its_drain_takes() -> None:
    text = (DEPLOY / "kubernetes.yaml").read_text()
    (drain_s,) = re.findall(r'drain, --all, --timeout, "(\d+)"', text)
    (grace_s,) = re.findall(r"terminationGracePeriodSeconds: (\d+)", text)
    assert int(grace_s) >= int(drain_s) + 30


def configurations() -> dict[str, str]:
    """Those that come with the image and with the manifest."""
    manifest = (DEPLOY / "kubernetes.yaml").read_text()
    (block,) = re.findall(r"^  tfarm\.toml: \|\n((?:    .*\n|\n)+)", manifest, re.MULTILINE)
    return {
        "container.toml": (DEPLOY / "container.toml").read_text(),
        "kubernetes.yaml": textwrap.dedent(block),
    }


@pytest.mark.parametrize("name", configurations())
def test_nobody_publishes_before_a_key_is_given_and_the_words_say_which(
    name: str, tmp_path: Path
) -> None:
    file = tmp_path / "tfarm.toml"
    file.write_text(configurations()[name])
    with pytest.raises(ConfigError, match="publish_keys"):
        load(file)
    # … and what stands there as a comment is all that is missing
    file.write_text(re.sub(r"^# (?=publish_keys)", "", file.read_text(), flags=re.MULTILINE))
    settings = load(file)
    assert settings.listen.host == "0.0.0.0"
    assert exposure(settings, [f"0.0.0.0:{settings.listen.port}"]) == ""

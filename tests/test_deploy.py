"""What deploy/ says is what the code means. `make systemd` runs the unit under a systemd."""

import configparser
import re
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are no dependency of ours

from common.access.exposure import exposure
from common.config.load import load
from common.config.settings import Settings
from common.errors import ConfigError, ExitCode
from common.ipc.kinds import HEARTBEAT_S
from supervisor.processes.run_dir import SERVICE, default_run_dir
from tests.kit.etcd import PROGRAM, needs_etcd
from tfarm import PACKAGES

DEPLOY = Path(__file__).parents[1] / "deploy"
UNIT = DEPLOY / "tfarm.service"
MANIFESTS = ("kubernetes.yaml", "kubernetes-cluster.yaml")


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
    cluster = (DEPLOY / "kubernetes-cluster.yaml").read_text()
    for text in (kubernetes, cluster):
        assert f"mountPath: {parent}}}" in text
        assert {f"runAs{x}: {user}" in text for x in ("User", "Group")} == {True}
    for text in (compose, kubernetes, cluster):
        assert f"http://127.0.0.1:{Settings().api.listen.port}/" in text


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_pod_has_longer_than_its_drain_takes(name: str) -> None:
    text = (DEPLOY / name).read_text()
    (drain_s,) = re.findall(r'drain, --all, --timeout, "(\d+)"', text)
    (grace_s,) = re.findall(r"terminationGracePeriodSeconds: (\d+)", text)
    assert int(grace_s) >= int(drain_s) + 30


def objects(name: str) -> dict[tuple[str, str], dict[str, Any]]:
    """A manifest's objects, by kind and name."""
    found = yaml.safe_load_all((DEPLOY / name).read_text())
    return {(one["kind"], one["metadata"]["name"]): one for one in found}


def test_on_kubernetes_each_node_is_a_host_of_the_cluster_and_one_at_a_time_is_upgraded() -> None:
    found = objects("kubernetes-cluster.yaml")
    farm, etcd = found["DaemonSet", "tfarm"]["spec"], found["StatefulSet", "etcd"]["spec"]
    assert farm["updateStrategy"]["rollingUpdate"] == {"maxUnavailable": 1}
    pod = farm["template"]["spec"]
    assert pod["hostNetwork"]
    assert pod["dnsPolicy"] == "ClusterFirstWithHostNet"
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {
        one["mountPath"]: volumes[one["name"]] for one in pod["containers"][0]["volumeMounts"]
    }
    assert mounts["/run/tfarm"]["emptyDir"]["medium"] == "Memory"
    (folder,) = (path for path, volume in mounts.items() if "hostPath" in volume)
    text = configurations()["kubernetes-cluster.yaml"]
    files = re.findall(r'^(?:secret_file|etcd_\w+|cert|key|ca) = "(.*)/.*"', text, re.MULTILINE)
    assert set(files) == {folder}
    ports = {port["containerPort"] for port in pod["containers"][0]["ports"]}
    assert ports == {Settings().listen.port, Settings().cluster.relay.port}
    assert etcd["replicas"] == 3
    assert re.findall(r"https://etcd-\d\.etcd:2379", text) == [
        f"https://etcd-{number}.{etcd['serviceName']}:2379" for number in range(3)
    ]
    for one in found.values():  # what selects pods selects some
        labels = one.get("spec", {}).get("template", {}).get("metadata", {}).get("labels")
        if labels is not None:
            assert one["spec"]["selector"]["matchLabels"] == labels


def etcd_options() -> dict[str, dict[str, str]]:
    """How members of etcd are started, by the file that says so."""
    spec = objects("kubernetes-cluster.yaml")["StatefulSet", "etcd"]["spec"]["template"]["spec"]
    pairs = (one[2:].partition("=") for one in spec["containers"][0]["command"][1:])
    default = re.findall(
        r'^ETCD_(\w+)="(.*)"$', (DEPLOY / "etcd.default").read_text(), re.MULTILINE
    )
    return {
        "kubernetes-cluster.yaml": {name: value or "true" for name, _, value in pairs},
        "etcd.default": {name.lower().replace("_", "-"): value for name, value in default},
    }


@pytest.mark.parametrize("name", etcd_options())
def test_members_of_etcd_want_certificates_and_keep_no_history(name: str) -> None:
    options = etcd_options()[name]
    assert options["client-cert-auth"] == options["peer-client-cert-auth"] == "true"
    assert all(
        url.startswith("https://")
        for key, value in options.items()
        if key.endswith("-urls") and "metrics" not in key
        for url in value.split(",")
    )
    assert options["auto-compaction-mode"] == "periodic"
    assert int(options["election-timeout"]) >= 10 * int(options["heartbeat-interval"])
    assert len(options["initial-cluster"].split(",")) == 3


@needs_etcd
def test_etcd_knows_these_options() -> None:
    shown = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=True)
    known = set(re.findall(r"--([a-z0-9-]+)", shown.stdout + shown.stderr))
    for options in etcd_options().values():
        assert options.keys() - known == set()


def test_a_host_and_its_members_of_etcd_are_the_same_machines() -> None:
    members = re.findall(r"=https://(\w+):2380", etcd_options()["etcd.default"]["initial-cluster"])
    text = (DEPLOY / "cluster.toml").read_text()
    assert re.findall(r"https://(\w+):2379", text) == members


def configurations() -> dict[str, str]:
    """Those that come with the image and with the manifests, and of a cluster's host."""
    found = {name: (DEPLOY / name).read_text() for name in ("container.toml", "cluster.toml")}
    for name in MANIFESTS:
        text = (DEPLOY / name).read_text()
        (block,) = re.findall(r"^  tfarm\.toml: \|\n((?:    .*\n|\n)+)", text, re.MULTILINE)
        found[name] = textwrap.dedent(block)
    return found


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

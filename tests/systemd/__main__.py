"""`python -m tests.systemd [--rebuild]`: deploy/tfarm.service under a real systemd.

Installs tfarm as docs/systemd.md says in a container of its own, and does there what an operator
does. Prints what it saw; exit code 1 when something did not hold, 2 where no container can be had.
"""

import argparse
import contextlib
import itertools
import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.kit.debian_root import ROOT
from tests.kit.ffmpeg_commands import CRC, FPS, PUBLISH, play, times
from tests.kit.waiting import until
from tests.systemd.container import BUILD, SOURCE, WHEELS, Container, booted, prepare, why_not

URL = "rtmp://127.0.0.1/live/cam"
PLAY = play(URL)
# Of `systemd-analyze security`, from 10 (exposed) to 0; what the unit is held to.
EXPOSURE = 1.9
EXPOSURE_HARDENED = 1.4
DEAD_AGAIN_S = 10.0  # RestartSec, a start of Python, the children's hellos
HUNG_AGAIN_S = 30.0  # WatchdogSec, and the same


class Try:
    """One boot: the container, and what the checks share."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.run = container.run
        self.seen: list[str] = []

    def saw(self, text: str) -> None:
        self.seen.append(text)
        print(f"  {text}", flush=True)

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.run("tfarm", "status", "--json"))
        return document

    def children(self) -> dict[str, int]:
        return {child["name"]: child["pid"] for child in self.status()["children"]}

    def unit(self, name: str) -> str:
        return self.run("systemctl", "show", "--value", f"--property={name}", "tfarm").strip()

    def journal(self) -> str:
        return self.run("journalctl", "--unit=tfarm", "--output=cat", "--no-pager")

    def wait_active(self, within_s: float, not_pid: str = "0") -> float:
        """Wait until the unit serves with another main process; the seconds that it took."""
        began = time.monotonic()

        def is_there() -> bool:
            state, pid = self.unit("ActiveState"), self.unit("MainPID")
            return state == "active" and pid not in ("0", not_pid)

        until(is_there, within_s, "the unit is active", every=0.2)
        return time.monotonic() - began


def install(case: Try) -> None:
    """The commands of docs/systemd.md, as they stand there."""
    text = (ROOT / "docs" / "systemd.md").read_text()
    section = text.partition("\n## Install the service\n")[2]
    script = section.partition("```sh\n")[2].partition("```")[0]
    assert "systemctl enable --now tfarm" in script
    # no network in here: the packages, the same by their hashes, come from a folder
    offline = (f"cd {SOURCE}", "export PIP_NO_INDEX=1", f"export PIP_FIND_LINKS={WHEELS}")
    began = time.monotonic()
    case.run("sh", "-exc", "\n".join((*offline, script)), timeout=600)
    case.wait_active(30)
    case.saw(f"installed and started as documented, {time.monotonic() - began:.0f} s")
    assert case.unit("StatusText"), "no STATUS="
    assert case.run("stat", "-c", "%U %a", "/run/tfarm").split() == ["tfarm", "700"]
    modes = case.run("stat", "-c", "%U %G %a", "/etc/tfarm", "/etc/tfarm/tfarm.toml").splitlines()
    assert modes == ["root tfarm 750", "root tfarm 640"], modes  # keys stand in it


@contextlib.contextmanager
def published(case: Try) -> Iterator[None]:
    config = case.container.path("/etc/tfarm/tfarm.toml").read_text()
    key = re.search(r'^publish_keys = \["(\w+)"\]', config, re.MULTILINE)
    publisher = case.container.start(*PUBLISH, f"{URL}?key={key[1]}" if key else URL)
    time.sleep(1.0)
    try:
        yield
    finally:
        case.container.end(publisher)


def serves(case: Try) -> None:
    """A publisher, a player, and `tfarm status` by root and by the service's user."""
    assert len(times(case.run(*PLAY, "-frames:v", "30", *CRC))) == 30
    (stream,) = case.status()["streams"]
    assert stream["state"] == "live", stream
    assert "live/cam" in case.run("tfarm", "status")
    as_user = case.run("runuser", "-u", "tfarm", "--", "tfarm", "status")
    assert "live/cam" in as_user
    for path in ("healthz", "readyz"):
        ask = f"import urllib.request as r; r.urlopen('http://127.0.0.1:9180/{path}', timeout=3)"
        case.run("/opt/tfarm/bin/python", "-c", ask)
    case.saw(f"a stream is published and played; status: {case.unit('StatusText')}")


def confined(case: Try) -> None:
    """The unit's limits, and within them the workers' own sandbox."""
    main, children = int(case.unit("MainPID")), case.children()
    worker = next(pid for name, pid in children.items() if name.startswith("worker"))
    filters = {pid: int(proc(case, pid)["Seccomp_filters"]) for pid in (main, worker)}
    for pid in (main, *children.values()):
        facts = proc(case, pid)
        assert facts["NoNewPrivs"] == "1", facts
        assert facts["CapEff"] == facts["CapBnd"] == "0" * 16, facts
        assert facts["Uid"].split()[0] == case.run("id", "-u", "tfarm").strip()
    assert filters[worker] >= filters[main] + 2, filters  # its two: io_uring, then all calls
    log = case.journal()
    for missing in ("no sandbox", "leaves out threads", "Traceback"):
        assert missing not in log, log
    slices = {pid: slice_ns(case, pid) for pid in (main, worker)}
    assert slices[worker] <= slices[main], slices  # sched_setattr is let through
    case.saw(f"no capability, no new privileges; seccomp filters: {filters[worker]} of a worker")


def proc(case: Try, pid: int) -> dict[str, str]:
    text = case.run("cat", f"/proc/{pid}/status")
    return {key: value.strip() for key, _, value in (x.partition(":") for x in text.splitlines())}


def slice_ns(case: Try, pid: int) -> int:
    found = re.search(r"^se\.slice\s*:\s*(\d+)", case.run("cat", f"/proc/{pid}/sched"), re.M)
    return int(found[1]) if found else 0


def journaled(case: Try) -> None:
    """What the journal has of each event: its words, its values by name, and whose it is."""
    entries = events(case)
    by_event = {entry["TFARM_EVENT"]: entry for entry in entries if "TFARM_EVENT" in entry}
    label = case.run("tfarm", "label", "live/cam").strip()
    (opened,) = events(case, "TFARM_EVENT=publish started", f"TFARM_STREAM={label}")
    played = by_event["player open"]
    assert played["TFARM_STREAM"] == label, played
    assert played["TFARM_RENDITION"] == "source", played
    assert (opened["TFARM_PROCESS"], played["TFARM_PROCESS"]) == ("ingest:0", "egress:0")
    children = case.children()
    for entry in (opened, played):
        assert int(entry["_PID"]) == children[entry["TFARM_PROCESS"]], entry
        assert entry["_SYSTEMD_UNIT"] == "tfarm.service", entry
        assert entry["PRIORITY"] == "6", entry
        begins = f"{entry['TFARM_PROCESS']}: {entry['TFARM_EVENT']} "
        assert entry["MESSAGE"].startswith(begins), entry
    of_us = [entry for entry in entries if entry.get("_SYSTEMD_UNIT") == "tfarm.service"]
    bare = [entry["MESSAGE"] for entry in of_us if "TFARM_EVENT" not in entry]
    assert all(line.startswith(("tfarm ", "  ")) for line in bare), bare  # the banner's alone
    told = [field for field in played if field.startswith("TFARM_")]
    case.saw(f"the journal has {len(by_event)} kinds of events with their fields: {sorted(told)}")


def events(case: Try, *matches: str) -> list[dict[str, str]]:
    """The entries of the unit, each with all its fields."""
    command = ("journalctl", "--unit=tfarm", "--output=json", "--all", "--no-pager")
    return [json.loads(line) for line in case.run(*command, *matches).splitlines()]


def reloads(case: Try) -> None:
    config = case.container.path("/etc/tfarm/tfarm.toml")
    text = config.read_text()
    config.write_text(text + "\n[templates.other]\nhold = 7\n")
    refused = case.run("systemctl", "reload", "tfarm", ok=(1,))
    assert case.unit("ActiveState") == "active", refused
    config.write_text(text + '\n[templates.other]\nhold = "7s"\n')
    case.run("systemctl", "reload", "tfarm")
    until(lambda: "configuration reloaded" in case.journal(), 5, "the log says so")
    case.saw("systemctl reload: a faulty file is refused and changes nothing, a right one holds")


def outlives(case: Try) -> None:
    """A supervisor that dies, and one that hangs: the next adopts what runs, no picture is lost."""
    player = case.container.start(*PLAY, *CRC)
    for number, within_s, why in (
        ("KILL", DEAD_AGAIN_S, "killed"),
        ("STOP", HUNG_AGAIN_S, "stopped, which its watchdog sees"),
    ):
        before, pid = case.children(), case.unit("MainPID")
        case.run("kill", f"-{number}", pid)
        took_s = case.wait_active(within_s, not_pid=pid)
        until(lambda: len(case.children()) == len(before), 10, "its children are there")  # noqa: B023
        assert case.children() == before
        case.saw(f"a supervisor that is {why}: the next has all children after {took_s:.1f} s")
    came = times(case.container.end(player))
    gap_ms = max(later - earlier for earlier, later in itertools.pairwise(came))
    assert len(came) > FPS * 5, came
    assert gap_ms <= 1.5 * 1000 / FPS, f"pictures are missing: {gap_ms} ms"
    case.saw(f"a player got every one of {len(came)} pictures meanwhile")


def replaces(case: Try) -> None:
    """A worker that dies is the supervisor's to replace, within the unit's limits."""
    before = case.children()
    worker = next(name for name in before if name.startswith("worker"))
    case.run("kill", "-KILL", str(before[worker]))

    def is_back() -> bool:
        return case.children()[worker] not in (0, before[worker])

    until(is_back, 10, "the worker runs again", every=0.2)
    assert case.unit("ActiveState") == "active"
    case.saw("a killed worker is replaced")


def exposed(case: Try) -> None:
    """How systemd rates the unit, alone and with the drop-in, with which it serves as well."""
    alone = exposure(case)
    folder = "/etc/systemd/system/tfarm.service.d"
    source = f"{SOURCE}/deploy/hardening.conf"
    case.run("install", "-D", "-m", "644", source, f"{folder}/hardening.conf")
    case.run("systemctl", "daemon-reload")
    case.run("systemctl", "restart", "tfarm")
    case.wait_active(30)
    hardened = exposure(case)
    case.saw(f"systemd-analyze security: {alone}, with hardening.conf {hardened}")
    assert alone <= EXPOSURE, alone
    assert hardened <= EXPOSURE_HARDENED, hardened
    with published(case):
        serves(case)
        confined(case)


def exposure(case: Try) -> float:
    text = case.run("systemd-analyze", "security", "--no-pager", "tfarm.service")
    found = re.search(r"Overall exposure level for tfarm.service: (\S+)", text)
    assert found, text
    (BUILD / "security.txt").write_text(text)
    return float(found[1])


def stops(case: Try) -> None:
    """In order and for good; and a faulty file fails at once."""
    began = time.monotonic()
    case.run("systemctl", "stop", "tfarm")
    took_s = time.monotonic() - began
    assert took_s < 8, took_s
    assert case.unit("ActiveState") == "inactive"
    assert case.unit("Result") == "success"
    assert case.run("pgrep", "-u", "tfarm", ok=(1,)) == ""
    left = case.run("ls", "-A", "/run/tfarm").split()
    assert left in ([], ["supervisor.lock"]), left
    case.saw(f"systemctl stop: nothing is left after {took_s:.1f} s")
    case.run("systemctl", "start", "tfarm")
    case.run("tfarm", "stop")
    until(lambda: case.unit("ActiveState") == "inactive", 5, "it stays stopped")
    config = case.container.path("/etc/tfarm/tfarm.toml")
    config.write_text("[listen]\nrtmp = 7\n")
    case.run("systemctl", "start", "tfarm", ok=(1,))
    assert case.unit("ActiveState") == "failed"
    assert case.unit("ExecMainStatus") == "2"
    case.saw("tfarm stop: it stays stopped; with a faulty file it fails at once and stays so")


WHILE_PUBLISHED = (serves, journaled, confined, reloads, outlives, replaces)


def traced(case: Try, check: Callable[[Try], None]) -> bool:
    """Run a check; say what broke and what the log had."""
    try:
        check(case)
    except Exception as error:
        print(f"FAILED {check.__name__}: {error!r}\n{case.journal()[-6000:]}", flush=True)
        return False
    return True


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.systemd", description=__doc__)
    parser.add_argument("--rebuild", action="store_true", help="make the container's root anew")
    if parser.parse_args(arguments).rebuild:
        shutil.rmtree(BUILD, ignore_errors=True)
    if reason := why_not():
        print(f"no systemd to try the unit under: {reason}", file=sys.stderr)
        return 2
    prepare()
    with booted() as container:
        case = Try(container)
        print(case.run("systemctl", "--version").splitlines()[0], flush=True)
        if not traced(case, install):
            return 1
        with published(case):
            held = [traced(case, each) for each in WHILE_PUBLISHED]
        held += [traced(case, check) for check in (exposed, stops)]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

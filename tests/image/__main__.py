"""`python -m tests.image [--rebuild]`: the image of deploy/Containerfile, made and run.

Its steps are done in clean roots of Debian, without an engine of containers, and its command runs
as Kubernetes has it: another user, no capability, no new privileges, a root that is read-only, the
loopback alone. The probes, the drain and the mounts are those of the manifests. Prints what it saw;
exit code 1 when something did not hold, 2 where no root can be had.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from tests.image import inside
from tests.image.build import BUILD, Built, build, prepare
from tests.image.containerfile import Stage, read
from tests.kit.debian_root import PYTHON, ROOT
from tests.kit.ffmpeg_commands import CRC, PUBLISH, play, times
from tests.kit.waiting import until

DEPLOY = ROOT / "deploy"
CONFIG = "/etc/tfarm/tfarm.toml"
KEY = "a-key-of-the-tests"
URL = "rtmp://127.0.0.1/live/cam"
IN_NAMESPACE = "TFARM_IMAGE_NAMESPACE"
READY_S = 30.0
END_S = 8.0


def why_not() -> str:
    """Say why no image can be made here; "": it can."""
    missing = [name for name in ("debootstrap", "unshare", "ffmpeg") if not shutil.which(name)]
    if os.geteuid() != 0:
        return "it needs root"
    if missing:
        return f"{', '.join(missing)} missing: apt-get install debootstrap util-linux ffmpeg"
    if sys.version_info[:2] != PYTHON:
        return "it needs Python 3.11, as the image has"
    return ""


def say(text: str) -> None:
    print(f"  {text}", flush=True)


class Image:
    """What was built, and how it is run."""

    def __init__(self, built: Built, stage: Stage) -> None:
        self._built = built
        self.command = [*stage.words("ENTRYPOINT"), *stage.words("CMD")]
        (self._run_tmpfs,) = re.findall(
            r"- (/run/\w+):(\S+)", (DEPLOY / "compose.yaml").read_text()
        )

    def start(self, log: Path, config: Path | None) -> psutil.Popen:
        """Start its command, with a configuration in place of its own."""
        tmpfs = {"/tmp": "mode=1777", self._run_tmpfs[0]: self._run_tmpfs[1]}
        files = {str(config): CONFIG} if config is not None else {}
        root = BUILD / "run"
        root.mkdir(exist_ok=True)
        spaces = ("--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child")
        words = [str(root), self._built.layers, *map(json.dumps, (files, tmpfs))]
        words += [json.dumps(self._built.environ), self._built.user, *self.command]
        with log.open("wb") as output:
            return psutil.Popen(
                ["unshare", *spaces, sys.executable, inside.__file__, *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def exec(self, main: int, *words: str, ok: Sequence[int] = (0,)) -> str:
        """Run a command beside its first process, as its user."""
        uid, _, gid = self._built.user.partition(":")
        spaces = ("--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd")
        pairs = [f"{name}={value}" for name, value in self._built.environ.items()]
        user = ("setpriv", "--reuid", uid, "--regid", gid, "--clear-groups", "env", "-i", *pairs)
        return run(["nsenter", f"--target={main}", *spaces, *user, *words], ok)


def run(command: Sequence[str], ok: Sequence[int] = (0,)) -> str:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in ok, f"{' '.join(command)}: {done.returncode}\n{done.stdout}"
    return done.stdout


def is_closed(image: Image, folder: Path) -> None:
    """As it is, nobody could publish: it says what to set, and does not start."""
    log = folder / "closed.log"
    process = image.start(log, None)
    code = process.wait(READY_S)
    assert code == 2, (code, log.read_text())
    assert "publish_keys" in log.read_text(), log.read_text()
    say("with its own configuration it ends with code 2: " + log.read_text().strip()[:200])


@contextlib.contextmanager
def started(image: Image, log: Path, config: Path) -> Iterator[tuple[psutil.Popen, int]]:
    """It runs; with the pid, here, of its first process."""
    process = image.start(log, config)

    def has_begun() -> bool:
        assert process.poll() is None, "it has ended"
        return any(Path(f"/proc/{child.pid}/root{CONFIG}").exists() for child in process.children())

    try:
        until(has_begun, READY_S, "its first process is there")
        yield process, process.children()[0].pid
    except BaseException:
        print(log.read_text()[-6000:], flush=True)
        raise
    finally:
        if process.poll() is None:
            process.kill()  # and by --kill-child all that is in there
            process.wait(10)


def probes() -> dict[str, list[str]]:
    """The commands of the manifests, by what they ask for."""
    found = {}
    for name in ("compose.yaml", "kubernetes.yaml"):
        text = (DEPLOY / name).read_text()
        for code, path in re.findall(r"^ +- (import \S+ .*/(\w+z)\".*)$", text, re.MULTILINE):
            found[f"{path} of {name}"] = ["/opt/tfarm/bin/python", "-c", code]
    assert len(found) == 3, found
    return found


def serves(image: Image, folder: Path) -> None:
    config, log = folder / "tfarm.toml", folder / "log"
    text = (DEPLOY / "container.toml").read_text()
    config.write_text(re.sub(r"^# (publish_keys = ).*", rf'\1["{KEY}"]', text, flags=re.MULTILINE))
    assert KEY in config.read_text()
    config.chmod(0o644)
    folder.chmod(0o755)
    began = time.monotonic()
    with started(image, log, config) as (process, main):
        ready = probes()["readyz of kubernetes.yaml"]

        def is_ready() -> bool:
            assert process.poll() is None, "it has ended"
            return "Error" not in image.exec(main, *ready, ok=(0, 1))

        until(is_ready, READY_S, "it is ready", every=0.2)
        say(f"ready after {time.monotonic() - began:.1f} s")
        for probe in probes().values():
            image.exec(main, *probe)
        confined(image, main)
        streams(image, main)
        ends(image, process, main)
    words = log.read_text()
    for fault in ("Traceback", "no sandbox", "may publish", "leaves out threads"):
        assert fault not in words, words


def confined(image: Image, main: int) -> None:
    """Its processes have no right beyond their user's, and may write nowhere but in two places."""
    for process in (psutil.Process(main), *psutil.Process(main).children(recursive=True)):
        text = Path(f"/proc/{process.pid}/status").read_text()
        facts = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
        assert facts["NoNewPrivs"] == "1", facts
        assert facts["CapEff"] == facts["CapBnd"] == "0" * 16, facts
        assert facts["Uid"].split()[0] == "10001", facts
    refused = image.exec(main, "sh", "-c", "echo > /opt/tfarm/x", ok=(1, 2))
    assert "Read-only file system" in refused, refused
    say("user 10001, no capability, no new privileges, a read-only root")


def streams(image: Image, main: int) -> None:
    """A publisher with the key, and a player; one without is refused."""
    beside = ["nsenter", f"--target={main}", "--net"]
    refused = run([*beside, *PUBLISH, "-t", "1", URL], ok=range(1, 256))
    assert "key" in refused, refused
    command = [*beside, *PUBLISH, f"{URL}?key={KEY}"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as publisher:
        try:

            def is_live() -> bool:
                status = json.loads(image.exec(main, "tfarm", "status", "--json"))
                return any(stream["state"] == "live" for stream in status["streams"])

            until(is_live, 15, "the stream is live", every=0.2)
            played = run([*beside, *play(URL), "-frames:v", "15", *CRC])
            assert len(times(played)) == 15, played
            drained(image, main)
        finally:
            publisher.terminate()
    say("a stream is published with a key, played, and ended by the drain of preStop")


def drained(image: Image, main: int) -> None:
    """What Kubernetes does before the end, with a shorter time; then it is not ready, and alive."""
    text = (DEPLOY / "kubernetes.yaml").read_text()
    (words,) = re.findall(r"command: \[(/opt/tfarm/bin/tfarm, drain.*), \"600\"\]", text)
    image.exec(main, *words.split(", "), "1")
    for name, probe in probes().items():
        is_well = name.startswith("healthz")
        image.exec(main, *probe, ok=(0,) if is_well else (1,))


def ends(image: Image, process: psutil.Popen, main: int) -> None:
    began = time.monotonic()
    os.kill(main, signal.SIGTERM)
    code = process.wait(END_S)
    assert code == 0, code
    say(f"SIGTERM: it ends with code 0 after {time.monotonic() - began:.1f} s")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.image", description=__doc__)
    parser.add_argument("--rebuild", action="store_true", help="make the clean root anew")
    options = parser.parse_args(arguments)
    if reason := why_not():
        print(f"no image can be made: {reason}", file=sys.stderr)
        return 2
    if IN_NAMESPACE not in os.environ:  # for what is mounted while it is made
        again = ("unshare", "--mount", sys.executable, "-m", "tests.image", *arguments)
        os.execvpe(again[0], again, os.environ | {IN_NAMESPACE: "1"})
    if options.rebuild:
        shutil.rmtree(BUILD, ignore_errors=True)
    try:
        prepare(say)
    except subprocess.CalledProcessError as error:
        print(f"no image can be made: {error.cmd[0]} failed, see {BUILD}", file=sys.stderr)
        return 2
    stages = read((DEPLOY / "Containerfile").read_text(), {"GPU": "none"})
    image = Image(build(stages, {"GPU": "none"}, say), stages[-1])
    with tempfile.TemporaryDirectory(prefix="tfarm-image-") as folder:
        is_closed(image, Path(folder))
        serves(image, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

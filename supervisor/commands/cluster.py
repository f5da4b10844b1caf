"""`tfarm cluster`: the hosts of a cluster, and the templates that they share (IO)."""

import time
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from supervisor.commands.line.command import Arguments, CommandSpec, Reply, RunningFarm
from supervisor.commands.line.options import RunDir, ask_for, fail, farm_dir

POLL_S = 0.2
PUSH_S = 10.0
TAKEN_S = 10.0  # until every host has what is pushed, or says why not
ALONE = "this farm is alone: [cluster] is not in its configuration"


def run(
    what: Annotated[str, typer.Argument(metavar="status|config", help="What is meant.")],
    action: Annotated[
        str, typer.Argument(metavar="show|diff|push", help="Of config.", show_default=False)
    ] = "",
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="TOML file, to diff or push.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Status for programs.")] = False,
    run_dir: RunDir = None,
) -> None:
    """Print the hosts of the cluster, or their templates.

    `config push FILE` gives all hosts the templates in FILE, if they have no faults, and prints
    what each host says to them. `config diff FILE` prints what that would change, `config show`
    those that are there.

    The exit code is 1 where the farm is not running or is no host of a cluster, where a host
    refuses, or where `diff` finds a difference.
    """
    if (what, action, file) == ("status", "", None):
        _status(run_dir, as_json=as_json)
    elif (what, action, file) == ("config", "show", None):
        _show(run_dir)
    elif (what, action) == ("config", "diff") and file is not None:
        _diff(run_dir, file)
    elif (what, action) == ("config", "push") and file is not None:
        _push(run_dir, file)
    else:
        usage = "must be status, config show, config diff FILE or config push FILE"
        raise typer.BadParameter(usage, param_hint="status|config")


def _status(run_dir: Path | None, *, as_json: bool) -> None:
    import json

    from supervisor.commands.line.client import for_terminal
    from supervisor.commands.status.cluster_rows import cluster_page

    found = _cluster(run_dir)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for line in cluster_page(for_terminal(found), time.time()):
        typer.echo(line)


def _cluster(run_dir: Path | None) -> dict[str, Any]:
    found = ask_for(run_dir, "cluster")["cluster"]
    if found is None:
        fail(ALONE)
    document: dict[str, Any] = found
    return document


def _show(run_dir: Path | None) -> None:
    from common.words import printable

    found = _templates(run_dir)
    if not found["revision"]:
        fail("there are no shared templates in etcd")
    for line in (f"# revision {found['revision']}", *found["text"].splitlines()):
        typer.echo(printable(line))
    if found["problem"]:
        typer.echo(f"tfarm: this host refuses them: {printable(found['problem'])}", err=True)


def _templates(run_dir: Path | None) -> dict[str, Any]:
    """What is known of them; as it is, not for a terminal."""
    from supervisor.commands.line.client import ask_document

    return ask_document(farm_dir(run_dir), "cluster", {"what": "templates"})


def _diff(run_dir: Path | None, file: Path) -> None:
    import difflib

    from common.words import printable

    new, found = _read(file), _templates(run_dir)
    lines = list(
        difflib.unified_diff(
            found["text"].splitlines(),
            new.splitlines(),
            f"revision {found['revision']}",
            str(file),
            lineterm="",
        )
    )
    for line in lines:
        typer.echo(printable(line))
    if lines:
        raise typer.Exit(1)


def _push(run_dir: Path | None, file: Path) -> None:
    from supervisor.commands.line.client import ask

    before = _templates(run_dir)["revision"]
    ask(farm_dir(run_dir), "cluster", {"what": "push", "text": _read(file)})
    deadline_s = time.monotonic() + PUSH_S
    while (found := _templates(run_dir))["is_pushing"]:
        if time.monotonic() > deadline_s:
            fail(f"no answer after {PUSH_S:g} s")
        time.sleep(POLL_S)
    if found["push_problem"]:
        fail(found["push_problem"])
    _wait_taken(run_dir, before)


def _wait_taken(run_dir: Path | None, before: int) -> None:
    """Print what each host has, once all have what is in etcd now or refuse it."""
    deadline_s = time.monotonic() + TAKEN_S
    while True:
        found = _cluster(run_dir)
        revision = found["templates_revision"]
        states = {host["name"]: _state(host, revision) for host in found["hosts"]}
        if (revision != before and all(states.values())) or time.monotonic() > deadline_s:
            break
        time.sleep(POLL_S)
    typer.echo(f"revision {revision}")
    for name, state in states.items():
        typer.echo(f"{name}: {state or 'has not taken it yet'}")
    if set(states.values()) != {"has it"}:
        raise typer.Exit(1)


def _state(host: dict[str, Any], revision: int) -> str:
    problem: str = host["templates_problem"]
    if problem.startswith(f"revision {revision}: "):
        return f"refuses {problem}"
    return "has it" if host["templates_revision"] == revision else ""


def _read(file: Path) -> str:
    from common.config.shared_templates import MAX_BYTES

    try:
        with file.open("rb") as opened:
            return opened.read(MAX_BYTES + 1).decode()
    except OSError as error:
        _cannot_read(file, error.strerror or str(error))
    except UnicodeDecodeError:
        _cannot_read(file, "it is no text")


def _cannot_read(file: Path, why: str) -> NoReturn:
    fail(f"cannot read {file}: {why}")


def answer(farm: RunningFarm, arguments: Arguments) -> Reply:
    """Its hosts; with `what` the shared templates, or others in their place."""
    found = farm.report.cluster()
    match arguments.get("what", ""):
        case "templates" | "push" if found is None:
            return Reply(False, ALONE)
        case "templates":
            return Reply(True, "", farm.configuration.templates_document())
        case "push":
            return Reply(*farm.configuration.push_templates(arguments.get("text", "")))
    return Reply(True, "", {"cluster": found})


COMMAND = CommandSpec("cluster", run, answer, example="tfarm cluster status")

"""`tfarm cluster status`: the hosts of a cluster, as this one sees them (IO)."""

from typing import Annotated

import typer

from supervisor.commands.line.command import Arguments, CommandSpec, Reply, RunningFarm
from supervisor.commands.line.options import RunDir, ask_for, fail


def run(
    what: Annotated[str, typer.Argument(metavar="status", help="What to print.")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    run_dir: RunDir = None,
) -> None:
    """Print the hosts of the cluster, and their room.

    The exit code is 1 where the farm is not running, or is no host of a cluster.
    """
    import json
    import time

    from supervisor.commands.line.client import for_terminal
    from supervisor.commands.status.cluster_rows import cluster_page

    if what != "status":
        raise typer.BadParameter("must be status", param_hint="status")
    found = ask_for(run_dir, "cluster")["cluster"]
    if found is None:
        fail("this farm is alone: [cluster] is not in its configuration")
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for line in cluster_page(for_terminal(found), time.time()):
        typer.echo(line)


def answer(farm: RunningFarm, arguments: Arguments) -> Reply:
    return Reply(True, "", {"cluster": farm.report.cluster()})


COMMAND = CommandSpec("cluster", run, answer, example="tfarm cluster status")

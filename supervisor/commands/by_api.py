"""Commands of the HTTP API alone: who is at the command line has the configuration for these."""

from collections.abc import Callable, Mapping
from typing import Final

from supervisor.commands.line.command import Arguments, CommandSpec, Reply, RunningFarm


def _pull(farm: RunningFarm, arguments: Arguments) -> Reply:
    return Reply(*farm.additions.pull(arguments))


def _unpull(farm: RunningFarm, arguments: Arguments) -> Reply:
    return Reply(*farm.additions.unpull(arguments.get("app", ""), arguments.get("key", "")))


def _push(farm: RunningFarm, arguments: Arguments) -> Reply:
    return Reply(*farm.additions.push(arguments))


def _unpush(farm: RunningFarm, arguments: Arguments) -> Reply:
    return Reply(*farm.additions.unpush(arguments.get("push", "")))


_ANSWERS: Final[Mapping[str, Callable[[RunningFarm, Arguments], Reply]]] = {
    "pull": _pull,
    "unpull": _unpull,
    "push": _push,
    "unpush": _unpush,
}


def _by_api_alone() -> None:
    """Nothing: it stands in no command line."""


BY_API: Final = {
    name: CommandSpec(name, _by_api_alone, answer) for name, answer in _ANSWERS.items()
}

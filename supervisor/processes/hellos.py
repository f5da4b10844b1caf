"""What a hello means to the supervisor. Pure."""

from enum import Enum, auto

from supervisor.processes.lifecycle import RUNNING, ChildState


class HelloMeaning(Enum):
    """What is to be done with the process that sent it."""

    KNOWN = auto()  # the process that is meant by this child: welcome it
    ADOPT = auto()  # an earlier supervisor started it: take it over
    SECOND = auto()  # another process of a child that runs already: end it
    IGNORE = auto()  # it is about to end, or has ended


def meaning_of_hello(
    state: ChildState | None,
    known_pid: int | None,
    hello_pid: int,
    *,
    is_alive: bool,
    is_stopping: bool,
) -> HelloMeaning:
    """Decide by what is known of the child; `state` is None for one that nobody knows.

    `is_alive` is the process that sent it, `is_stopping` the farm.
    """
    if state is None or state not in RUNNING:
        return HelloMeaning.ADOPT if is_alive and not is_stopping else HelloMeaning.IGNORE
    if known_pid != hello_pid:
        return HelloMeaning.SECOND
    return HelloMeaning.IGNORE if state is ChildState.STOPPING else HelloMeaning.KNOWN

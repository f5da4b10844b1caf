"""A call in a process of its own (IO), for what needs modules that its caller must not keep.

What reads a configuration file takes ten megabytes that a supervisor would hold for its whole life.
"""

import os
import pickle  # nosec B403 # see below
from collections.abc import Callable
from typing import Any, TypeVar

from common.errors import TfarmError

T = TypeVar("T")


def call_aside(function: Callable[..., T], *arguments: Any) -> T:
    """Call it in a fork and return what it returns; modules that it imports are gone with the fork.

    Only before this process has threads or a loop.

    Raises:
        TfarmError: as `function` raised it.
        ChildProcessError: the fork ended without an answer; its traceback is on stderr.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _answer(writing, function, arguments)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(pid, 0)
    if status != 0:
        code = os.waitstatus_to_exitcode(status)
        raise ChildProcessError(f"{function.__qualname__} ended its process with {code}")
    result = pickle.loads(answer)  # nosec B301 # a fork of this process wrote it, by a pipe
    if isinstance(result, TfarmError):
        raise result
    returned: T = result
    return returned


def _answer(writing: int, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Write the outcome and end this process, whatever happens: the caller's stack is not ours."""
    code = 1
    try:
        try:
            result = function(*arguments)
        except TfarmError as error:
            result = error
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(result, pipe)
        code = 0
    except BaseException:
        import traceback  # a bug's path alone

        traceback.print_exc()
    finally:
        os._exit(code)

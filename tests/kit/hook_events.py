"""Events for hooks, as ingests and egresses send them."""

from typing import Any

from common.config.hooks import HookEvent, Hooks
from common.ipc.hook_messages import HookNotice, HookQuestion, HookSubject
from common.ipc.identity import ChildId

EGRESS0 = ChildId("egress")
HOOKS = Hooks(url="http://127.0.0.1:1/hook", secret="0123456789abcdef", deadline_s=3.0)
VIEWER = HookSubject("live", "cam1", "720p", "203.0.113.7:5000", "s1")


def question(number: int = 1, key: str = "cam1", **fields: Any) -> HookQuestion:
    """One about a viewer of a stream."""
    subject = HookSubject("live", key, "720p", "203.0.113.7:5000", f"s{number}", **fields)
    return HookQuestion(number, HookEvent.ON_PLAY, subject, EGRESS0)


def notice(number: int = 1, key: str = "cam1") -> HookNotice:
    """The end of what a viewer played."""
    subject = HookSubject("live", key, "720p", "203.0.113.7:5000", f"s{number}")
    return HookNotice(HookEvent.ON_STOP, subject, 1_900.0, 12.5, 3_000, "the player left")

"""Single-use URLs are used once in the whole farm: who let one in tells the others. Pure.

The supervisor passes it on, and tells children that start later. A supervisor that starts anew
knows none, but the children do.
"""

from common.access.used_urls import UsedUrls
from common.ipc.control_messages import UrlsUsed
from common.ipc.identity import ChildId
from common.ipc.kinds import admits
from supervisor.farm.actions import Action, Send
from supervisor.farm.state import FarmState

MAX_REMEMBERED = 20_000
AT_ONCE = 2_000  # uses in a message


class UrlUses:
    """Those that this supervisor heard of."""

    def __init__(self, state: FarmState) -> None:
        self._state = state
        self._used = UsedUrls(MAX_REMEMBERED)

    def child_up(self, child: ChildId) -> list[Action]:
        """A child has come: what others have let in holds for it too."""
        uses = self._used.all() if admits(child.kind) else ()
        return [
            Send(child, UrlsUsed(uses[at : at + AT_ONCE])) for at in range(0, len(uses), AT_ONCE)
        ]

    def on_used(self, child: ChildId, used: UrlsUsed, _: float) -> list[Action]:
        """A child has let somebody in."""
        if not admits(child.kind):
            return []
        now_unix = used.at_unix
        for digest, until_unix in used.uses:
            self._used.use(digest, until_unix, now_unix)
        others = [other for other in self._state.children if admits(other.kind) and other != child]
        return [Send(other, used) for other in others]

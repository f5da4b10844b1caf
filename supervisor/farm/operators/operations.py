"""What an operator does with the streams and devices of a running farm, in words. Pure.

Each method has its actions carried out by `do` and says what was done.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from common.access.bans import Ban, target_of
from common.ipc.identity import stream_id
from common.process.log import stream_label
from common.words import counted, duration
from supervisor.farm.actions import Action
from supervisor.farm.farm import Farm
from supervisor.farm.operators.ban_list import MAX_BANS, ban_documents
from supervisor.farm.operators.kicks import DEFAULT_S
from supervisor.farm.operators.operator_commands import OperatorCommands

Json = dict[str, Any]

log = logging.getLogger("tfarm.supervisor.farm.operators.operations")


class KeptBans(Protocol):
    """Where the list of bans is kept for the next supervisor."""

    def now_unix(self) -> float: ...

    def is_there(self) -> bool:
        """Whether what was kept is there still."""
        ...

    def read(self) -> Iterable[Ban]: ...

    def write(self, bans: Iterable[Ban]) -> str:
        """Keep the list; what is wrong if that failed, "" if not."""
        ...


class Operations:
    """The operations of one farm."""

    def __init__(
        self,
        farm: Farm,
        do: Callable[[Sequence[Action]], None],
        clock: Callable[[], float],
        kept_bans: KeptBans,
        asked_by: Callable[[], str],
    ) -> None:
        """`asked_by` says who gives the command that is being done."""
        self._farm = farm
        self._commands = OperatorCommands(farm)
        self._do = do
        self._clock = clock
        self._kept_bans = kept_bans
        self._asked_by = asked_by
        farm.state.bans.load(kept_bans.read())

    def kick(self, app: str, key: str, for_s: float = DEFAULT_S) -> str:
        """End one stream, forget its crashes; what was done, "" when there was nothing to do."""
        now = self._clock()
        stream = self._farm.state.streams.get(stream_id(app, key))
        address = stream.owner.address if stream is not None else ""
        cleared = self._commands.clear(app, key)
        ended = self._commands.kick(app, key, for_s, now)
        self._do([*cleared, *ended])
        name = f"{app}/{key}"
        if self._farm.state.kicks.refusal(stream_id(app, key), now) is not None:
            words = "kicked stream=%s publisher=%s seconds=%.0f by=%s"
            log.info(words, stream_label(name), address or "?", for_s, self._asked_by())
            what = "is being ended" if ended else "is kept out"
            return (
                f"{name} {what}; it is refused for {duration(for_s)}, "
                f"or until `tfarm kick --undo {name}`"
            )
        return f"{name} is not refused any more" if cleared else ""

    def unkick(self, app: str, key: str) -> str:
        """Let a stream in that was kicked, or that took workers down; "" when it was neither."""
        cleared = self._commands.clear(app, key)
        self._do(cleared)
        if not self._commands.unkick(app, key, self._clock()) and not cleared:
            return ""
        log.info("kick undone stream=%s by=%s", stream_label(f"{app}/{key}"), self._asked_by())
        return f"{app}/{key} is not refused any more"

    def ban(self, target: str, for_s: float, reason: str) -> tuple[bool, str]:
        """Keep an address, a network or a stream out; `for_s` 0: until it is taken back."""
        try:
            network, stream = target_of(target)
        except ValueError as error:
            return False, f"{target[:64]!r} {error}"
        now_unix = self._kept_bans.now_unix()
        until_unix = now_unix + for_s if for_s else 0.0
        ban = Ban(network, stream, until_unix, reason, self._asked_by(), now_unix)
        if not self._farm.state.bans.add(ban, now_unix):
            return False, f"{MAX_BANS} are banned, as many as may be: ban a network, or unban some"
        log.warning(
            "banned target=%s seconds=%s by=%s reason=%s",
            network or stream_label(stream),
            f"{for_s:.0f}" if for_s else "-",
            ban.by,
            reason or "-",
        )
        how_long = f"for {duration(for_s)}, or " if for_s else ""
        words = f"{ban.target} is banned {how_long}until `tfarm unban {ban.target}`"
        return True, words + self._bans_changed(now_unix)

    def unban(self, target: str) -> tuple[bool, str]:
        """Let in again."""
        try:
            network, stream = target_of(target)
        except ValueError as error:
            return False, f"{target[:64]!r} {error}"
        now_unix = self._kept_bans.now_unix()
        if not self._farm.state.bans.remove(network or stream, now_unix):
            return False, f"{network or stream} is not banned; `tfarm ban --list` says who is"
        label = network or stream_label(stream)
        log.warning("ban undone target=%s by=%s", label, self._asked_by())
        return True, f"{network or stream} is not banned any more" + self._bans_changed(now_unix)

    def bans(self) -> list[Json]:
        """Who is banned, for status."""
        return ban_documents(self._farm.state.bans.current(self._kept_bans.now_unix()))

    def keep_bans(self) -> None:
        """Keep the list once more if that was removed; due once a second."""
        bans = self._farm.state.bans.all()
        if bans and not self._kept_bans.is_there():
            self._kept_bans.write(bans)

    def _bans_changed(self, now_unix: float) -> str:
        """Give all the new list, and keep it; what is to be said of that."""
        self._do(self._commands.report_bans(now_unix))
        problem = self._kept_bans.write(self._farm.state.bans.current(now_unix))
        return f"; the next supervisor will not know it: {problem}" if problem else ""

    def capture(self, app: str, key: str, *, headers_only: bool) -> tuple[bool, str, Json]:
        """Have a stream's capture written: whether there is one, and the number to ask for it."""
        captures = self._farm.captures
        request_id, actions = captures.request(app, key, self._clock(), headers_only=headers_only)
        if not request_id:
            return False, f"no such stream: {app}/{key}", {}
        self._do(actions)
        return True, "", {"request": request_id}

    def capture_result(self, request_id: int) -> tuple[bool, str, Json]:
        """What became of a capture."""
        written = self._farm.captures.result(request_id, self._clock())
        if written is None:
            return True, "", {"is_waiting": True}
        if written.error:
            return False, f"no capture: {written.error}", {}
        return (
            True,
            "",
            {
                "is_waiting": False,
                "path": written.path,
                "size_bytes": written.size_bytes,
                "seconds": written.seconds,
            },
        )

    def switch(self, app: str, key: str, role: str) -> tuple[bool, str]:
        """Have a stream be of its main or backup publisher, or of either by the rules."""
        name = stream_id(app, key)
        stream = self._farm.state.streams.get(name)
        if stream is None:
            return False, f"no such stream: {name}"
        is_done, words, actions = self._farm.backups.switch(stream, role, self._asked_by())
        self._do(actions)
        if is_done:
            log.info(
                "switch asked stream=%s to=%s by=%s", stream_label(name), role, self._asked_by()
            )
        return is_done, words

    def drain(self, device: str) -> tuple[bool, str, Json]:
        """Begin or go on with a device's drain: whether there is one, and what is left on it.

        A GPU is all its workers, unless one of them is named.
        """
        farm = self._farm
        workers = self._commands.find_devices(device)
        if not workers:
            return False, self._no_device(device), {}
        for worker in workers:
            if worker not in farm.state.drained:
                log.info("draining device=%s", worker)
        self._do(self._commands.drain(workers, self._clock()))
        migration = farm.migration
        left = [
            {
                "stream": stream.stream_id,
                "reason": migration.stuck.get(stream.stream_id, ""),
                "moves_later": stream.stream_id in migration.later,
            }
            for worker in workers
            for stream in farm.state.served_by(worker)
        ]
        return True, "", {"streams": left, "sessions": sum(map(farm.state.sessions, workers))}

    def undrain(self, device: str) -> tuple[bool, str]:
        workers = self._commands.find_devices(device)
        if not workers:
            return False, self._no_device(device)
        self._do(self._commands.undrain(workers, self._clock()))
        log.info("not drained any more devices=%s", ",".join(map(str, workers)))
        return True, f"{device} takes streams again"

    def drain_all(self, timeout_s: float | None) -> Json:
        """Begin or go on with the drain of all; how many streams are left."""
        self._commands.drain_all(timeout_s, self._clock())
        self._do(())  # there is a new deadline
        return {"streams": len(self._farm.state.streams)}

    def undrain_all(self) -> str:
        self._do(self._commands.undrain_all(self._clock()))
        return "the farm takes streams again"

    def rebalance(self) -> str:
        migration, now = self._farm.migration, self._clock()
        under_way = migration.under_way(now)
        actions = migration.rebalance(now)
        self._do(actions)
        if actions:
            return counted(len(actions), "stream", "moves")
        if under_way:
            words = counted(under_way, "stream", "is still on the way")
            return f"{words}; ask again in a few seconds"
        return "no move would even the load out"

    def _no_device(self, device: str) -> str:
        known = ", ".join(name.place for name in sorted(self._farm.state.fleet.devices))
        return f"there is no device {device}; there are: {known}"

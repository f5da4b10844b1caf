"""An operator's commands for the streams and devices of a farm. Pure: actions out.

`operations.py` says in words what was done.
"""

from collections.abc import Sequence

from common.access.credentials import UNTOLD
from common.access.peer_address import Networks
from common.access.refusal import Refusal, RefusalReason
from common.ipc.control_messages import BanList, EndStream, Readmit
from common.ipc.identity import ChildId, stream_id
from supervisor.farm.actions import Action, Send
from supervisor.farm.farm import Farm
from supervisor.farm.state import admitting
from supervisor.farm.stream import NO_INGEST

_KICKED = Refusal(RefusalReason.KICKED, "ended by the operator")


class OperatorCommands:
    """The commands for one farm."""

    def __init__(self, farm: Farm) -> None:
        self._farm = farm
        self._state = farm.state

    # ---- streams ----------------------------------------------------------------------------

    def kick(self, app: str, key: str, for_s: float, now: float) -> list[Action]:
        """End one stream, and refuse its publisher for a while; empty when there is none.

        Its room comes back with its `PublishEnd`. One that is kept out already gets another time.
        """
        found = stream_id(app, key)
        stream = self._state.streams.get(found)
        if stream is None:
            if self._state.kicks.refusal(found, now) is not None:
                self._state.kicks.kick(found, for_s, now)
            return []
        exempt = Networks(self._state.settings.ingest.exempt_networks)
        is_many = stream.owner.address.partition("/")[0] in exempt  # behind one address
        self._state.kicks.kick(found, for_s, now, UNTOLD if is_many else stream.owner)
        ingests = {*self._state.of_kind("ingest"), stream.ingest}
        if stream.ingest == NO_INGEST:
            self._state.close(stream)
        return [Send(name, EndStream(stream.stream_id, _KICKED)) for name in sorted(ingests)]

    def report_bans(self, now_unix: float) -> list[Action]:
        """Give those that let peers in the list as it is now."""
        message = BanList(self._state.bans.current(now_unix))
        return [Send(child, message) for child in sorted(admitting(self._state))]

    def unkick(self, app: str, key: str, now: float) -> bool:
        """Let a stream in again; whether it was kept out."""
        return self._state.kicks.undo(stream_id(app, key), now)

    def clear(self, app: str, key: str) -> list[Action]:
        """Forget that a stream took workers down, everywhere; empty when it had not."""
        stream = stream_id(app, key)
        quarantine = self._state.quarantine
        is_known = quarantine.clear(stream)
        if not self._state.peers.clear_stream(stream) and not is_known:
            return []
        if stream not in self._state.streams:
            quarantine.take_worker(stream)  # it waited for the next attempt
        readmit = [Send(name, Readmit(stream)) for name in sorted(self._state.of_kind("ingest"))]
        return [*readmit, *self._farm.isolation.remove_silent()]

    # ---- devices ----------------------------------------------------------------------------

    def find_devices(self, name: str) -> list[ChildId]:
        """The workers of a name: `cpu:0`, a worker by its name, all of a GPU by UUID or PCI id."""
        workers = list(self._state.fleet.devices)
        one = [worker for worker in workers if str(worker).lower() == name.lower()]
        return one or [worker for worker in workers if self._is_called(worker, name)]

    def _is_called(self, worker: ChildId, name: str) -> bool:
        child = self._state.children.get(worker)
        info = child.hello.device if child is not None else None
        names = {worker.place, worker.device_name}
        if info is not None:
            names |= {info.name, info.pci_id} - {""}
        return name.lower() in {known.lower() for known in names}

    def drain(self, devices: Sequence[ChildId], now: float) -> list[Action]:
        """Move all off these devices; say it again to see how far that is."""
        farm = self._farm
        actions = farm.migration.drain(devices, now)
        if sum(farm.degradation.release(device) for device in devices):
            actions += farm.recovery.retry(now)
        return actions

    def undrain(self, devices: Sequence[ChildId], now: float) -> list[Action]:
        for device in devices:
            self._farm.migration.undrain(device)
        return self._farm.room_came(now)

    # ---- the whole farm ---------------------------------------------------------------------

    def drain_all(self, timeout_s: float | None, now: float) -> None:
        """Take no new streams, and end those that still run after `timeout_s`."""
        self._farm.drain.begin(timeout_s, now)

    def undrain_all(self, now: float) -> list[Action]:
        """Take streams again, on all devices."""
        self._farm.drain.end()
        return self.undrain(sorted(self._state.drained), now)

"""What of hosts' keys is worth a write, and what people are shown of them. Pure."""

from typing import Final

from cluster.keys import HostRecord
from cluster.view import View
from common.ipc.cluster_messages import HostView

CHANGE: Final = 0.01  # of what is free, as a share of the capacity: others choose by it


def differs(record: HostRecord, before: HostRecord) -> bool:
    """Tell if a host's key has changed by more than is worth a write."""
    names = record.capacity.keys() | before.capacity.keys()
    if record.capacity != before.capacity or record.is_draining != before.is_draining:
        return True
    if (record.relay, record.rtmp) != (before.relay, before.rtmp):
        return True
    if record.templates_revision != before.templates_revision:
        return True
    if record.templates_problem != before.templates_problem:
        return True
    for name in names | record.free.keys() | before.free.keys():
        capacity = record.capacity.get(name, 0.0) or 1.0
        change = abs(record.free.get(name, 0.0) - before.free.get(name, 0.0))
        if change > CHANGE * capacity:
            return True
    return False


def host_views(view: View) -> tuple[HostView, ...]:
    """The hosts, with how many streams each owns, by name."""
    return tuple(
        HostView(
            name,
            host.record.version,
            host.record.relay,
            host.record.rtmp,
            host.record.free,
            host.record.capacity,
            view.streams.get(name, 0),
            host.record.is_draining,
            host.missing_s is not None,
            host.record.templates_revision,
            host.record.templates_problem,
        )
        for name, host in sorted(view.hosts.items())
    )

"""How many streams others encode on the host's cores, for each worker that does so too. Pure.

A worker goes another way where there is a stream for every core
(`worker/session/inline_encoding.py`), and knows its own streams alone.
"""

from common.config.ladder import Pipeline
from common.ipc.control_messages import HostLoad
from supervisor.farm.worker import Worker
from supervisor.placement.fleet import Fleet

ON_CORES = (Pipeline.HYBRID, Pipeline.SOFTWARE)


def host_load(worker: Worker, fleet: Fleet) -> HostLoad | None:
    """The report for a worker that has streams there, if it is new."""
    on_cores = [a.device for a in fleet.allocations.values() if a.pipeline in ON_CORES]
    own = on_cores.count(worker.name)
    elsewhere = len(on_cores) - own
    if not own or elsewhere == worker.reported_host_load:
        return None
    worker.reported_host_load = elsewhere
    return HostLoad(elsewhere)

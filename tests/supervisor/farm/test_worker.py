"""supervisor/farm/worker.py: what goes with a process, and what stays."""

from common.ipc.identity import StreamId
from supervisor.farm.worker import Worker
from tests.kit.children import CPU0


def test_what_belongs_to_a_process_goes_with_it() -> None:
    worker = Worker(CPU0, down_since_s=None)
    worker.is_overloaded = worker.is_drained = True
    worker.hangs_with = StreamId("live/a")
    worker.reported_host_load = 3
    worker.findings["missing"] = 7
    before = worker.overload
    worker.end_process(100.0)
    after = Worker(CPU0, down_since_s=100.0, is_drained=True, overload=worker.overload)
    assert worker == after, "what an operator said stays"
    assert worker.overload is not before


def test_a_lost_device_is_lost_until_a_process_says_hello() -> None:
    worker = Worker(CPU0, down_since_s=None)
    worker.lose_device("Xid 79", for_sure=True)
    worker.lose_device("its context is dead", for_sure=False)
    worker.end_process(100.0)
    assert (worker.lost, worker.is_lost_for_sure) == ("its context is dead", True)
    worker.come_up()
    assert (worker.lost, worker.is_lost_for_sure, worker.down_since_s) == ("", False, None)

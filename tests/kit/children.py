"""The children that tests speak of."""

from common.ipc.identity import ChildId, Role, cpu_worker, gpu_worker

INGEST0, INGEST1, INGEST2 = (ChildId("ingest", index=index) for index in range(3))
EGRESS0, EGRESS1, EGRESS2 = (ChildId("egress", index=index) for index in range(3))
API0 = ChildId("api")
WEB0, WEB1, WEB2 = (ChildId("web", index=index) for index in range(3))
RTC0, SOUND0 = ChildId("rtc"), ChildId("sound")
CPU0, CPU1, CPU2 = map(cpu_worker, range(3))
GPU0, GPU1 = gpu_worker("GPU-0"), gpu_worker("GPU-1")


def dedicated(index: int) -> ChildId:
    """A worker of one stream alone."""
    return cpu_worker(index, Role.DEDICATED)

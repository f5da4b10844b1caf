"""The faults of the farm's own processes, where renditions are made only while they are watched.

Beside the rendition that everybody plays there is one that nobody does: it must be cold after the
fault, too.
"""

from collections.abc import Callable

from tests.faults import processes
from tests.faults.scene import RENDITION, Result, Scene
from tests.kit.waiting import until

TEMPLATE = 'renditions_when = "watched"\nlinger = "1s"'
UNWATCHED = """
[[templates.live.renditions]]
name = "144p"
width = 256
height = 144
bitrate = "150k"
"""
COLD_S = 8.0  # after the fault, for what began with it to rest


class DemandScene(Scene):
    """A scene on demand, which looks at its end whether that alone is made which is played."""

    def __init__(self) -> None:
        super().__init__(template=TEMPLATE, renditions=UNWATCHED)
        self.is_sparing = False

    def is_made_alone(self) -> bool:
        """Whether in every stream the played rendition is made, and the other one is cold."""
        streams = self.farm.streams().values()
        wanted = {RENDITION: "made", "144p": "cold"}
        return bool(streams) and all(
            wanted.items() <= {one["name"]: one["state"] for one in stream["renditions"]}.items()
            for stream in streams
        )

    def settle(self) -> None:
        """Note whether the renditions are as demand has them, before the farm ends."""
        try:
            until(self.is_made_alone, COLD_S, "what is played is made, and nothing else")
            self.is_sparing = True
        except AssertionError:
            self.is_sparing = False


def _on_demand(fault: Callable[[Scene], Result]) -> Result:
    scene = DemandScene()
    row = fault(scene)
    row.fault += ", renditions on demand"
    row.limit += ", what nobody plays stays cold"
    row.ok = row.ok and scene.is_sparing
    if not scene.is_sparing:
        row.note += "; NOT COLD"
    return row


def demand_worker() -> Result:
    return _on_demand(processes.kill_worker)


def demand_supervisor() -> Result:
    return _on_demand(processes.kill_supervisor)


def demand_egress() -> Result:
    return _on_demand(processes.kill_egress)


def demand_ingest() -> Result:
    return _on_demand(processes.kill_ingest)

"""A stream on demand that is cut for HLS: of it only that is made which is taken."""

from dataclasses import replace

from common.config.ladder import MadeWhen
from tests.kit.hls_rig import NAMES, TEMPLATE, HlsRig

ON_DEMAND = replace(TEMPLATE, renditions_when=MadeWhen.DEMANDED)


class DemandRig:
    """A stream of which only that is made which is subscribed to, as workers do."""

    def __init__(self) -> None:
        self.rig = HlsRig(template=ON_DEMAND)
        self.rig.headers(is_resting=True)
        self.rig.sound_header()
        self.hls = self.rig.hls
        self.hls.follow()
        self.made: set[str] = set()

    def play(self, begin_ms: int, end_ms: int) -> None:
        """Go on; what begins to be made has its first picture, a keyframe, at once."""
        wanted = {n for n in NAMES if self.rig.stream.renditions[n].is_subscribed}
        for name in self.made - wanted:
            self.rig.headers(names=[name], is_resting=True)
        for name in wanted - self.made:
            self.rig.headers(names=[name])
            self.rig.picture(name, begin_ms, is_key=True)
        self.made = wanted
        self.rig.play(begin_ms + 40, end_ms, names=sorted(wanted) or ["source"])

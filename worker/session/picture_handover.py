"""A picture's way to an encoder process: where these encode, in place of a session's own encoders.

Called in the decode thread, but for `on_place_freed`: there the pool's places come back, and with
them the right to take more units (IO: a condition).
"""

from collections.abc import Callable, Sequence
from typing import cast

from common.errors import EncodeFailed
from worker.devices.backend import SharedSurface, Surface
from worker.encoders.encoded_stream import HandedOver
from worker.pool.layout import PICTURES
from worker.session.context import SessionContext
from worker.session.decode_stage import DecodeStage, PlannedPicture
from worker.session.events import PicturesScaled, SessionLife
from worker.session.progress import SessionCounts
from worker.session.rendition import SessionRendition
from worker.session.resources import SessionResources
from worker.session.shared import Shared

# Of a rendition: two places are for surfaces that are given back a moment later.
MOST_SHARED = PICTURES - 2
_PLACE_WAIT_S = 0.1  # for a place, where one call of the decoder gave many pictures


class PictureHandover:
    """Posts scaled pictures for an encoder process."""

    def __init__(
        self,
        context: SessionContext,
        life: SessionLife,
        resources: SessionResources,
        counts: SessionCounts,
        shared: Shared,
        schedule: Callable[[], None],
        on_rendition_lost: Callable[[SessionRendition, int, str], None],
    ) -> None:
        """`schedule` is called with the lock held when a place is free again."""
        self._clock = context.clock
        self._load = context.load
        self._life = life
        self._resources = resources
        self._counts = counts
        self._shared = shared
        self._schedule = schedule
        self._on_rendition_lost = on_rendition_lost

    def wait_for_places(self, renditions: Sequence[int]) -> None:
        """Wait until the pool has a place for each; pictures that find none are dropped."""
        remote = [self._resources.remote[index] for index in renditions]

        def is_free() -> bool:
            if not self._shared.is_running:
                return True
            return all(rendition.waiting < MOST_SHARED for rendition in remote)

        with self._shared.lock:
            self._shared.place_freed.wait_for(is_free, _PLACE_WAIT_S)

    def hand_over(
        self,
        stage: DecodeStage,
        planned: PlannedPicture,
        chosen: Sequence[int],
        surfaces: Sequence[Surface],
    ) -> None:
        """Post a picture for these renditions, once it lies in the pool."""
        picture, plan, facts = planned.picture, planned.plan, planned.facts
        pictures = []
        scaled_s = self._clock()
        for index, surface in zip(chosen, surfaces, strict=True):
            rendition = self._resources.remote[index]
            try:
                surface.prepare()
            except EncodeFailed as error:
                self._on_rendition_lost(rendition, picture.pts_ms, str(error))
                continue
            before_s, scaled_s = scaled_s, self._clock()
            if not facts.is_replay:
                self._counts.stages.add(f"scale:{rendition.rendition.name}", scaled_s - before_s)
            fps = None
            if plan.is_key or rendition.begins:
                fps = rendition.rate_to_open_for(stage.timer.rate(index), picture.pts_ms)
            sei, begins = rendition.take_carried(), rendition.take_beginning()
            slot = cast(SharedSurface, surface).slot
            pictures.append(HandedOver(index, slot, surface, sei, fps, begins))
        with self._shared.lock:
            if not self._shared.is_running or not pictures:
                return
            for each in pictures:
                self._resources.remote[each.rendition].waiting += 1
        self._life.post(
            PicturesScaled(
                picture.pts_ms,
                plan.is_key,
                facts.is_replay,
                facts.received_s,
                scaled_s,
                tuple(pictures),
                self._load.is_saturated,
            )
        )

    def on_place_freed(self, index: int) -> None:
        """From any thread: an encoder process is done with a picture, or gone."""
        with self._shared.lock:
            if index < len(self._resources.remote):
                rendition = self._resources.remote[index]
                rendition.waiting -= 1
                rendition.done += 1
                self._shared.place_freed.notify_all()
                self._schedule()

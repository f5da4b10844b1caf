"""Renditions that rest, as nobody plays them, and that are made again (IO: threads).

Called in the decode thread, but for `_release`. An encoder is closed in the thread that encodes its
rendition, behind the last picture that was posted there; it is opened again with the first one that
the rendition takes. An encoder process does the same, behind the last picture that was handed over.
"""

from collections.abc import Callable
from functools import partial

from common.errors import DeviceLost
from worker.session.context import SessionContext
from worker.session.decode_stage import DecodeStage
from worker.session.events import RenditionRests, SessionLife
from worker.session.input_queue import Want
from worker.session.picture_path import PicturePath
from worker.session.rendition_encoder import RenditionEncoder
from worker.session.resources import SessionResources
from worker.session.shared import Shared


class RestingRenditions:
    """Those of one session."""

    def __init__(
        self,
        context: SessionContext,
        life: SessionLife,
        resources: SessionResources,
        shared: Shared,
        path: PicturePath,
        schedule: Callable[[], None],
    ) -> None:
        """`schedule` is called with the lock held when a rendition is done with its pictures."""
        self._clock = context.clock
        self._life = life
        self._resources = resources
        self._shared = shared
        self._path = path
        self._schedule = schedule

    def want(self, stage: DecodeStage, want: Want) -> None:
        """Make these renditions alone from the next picture on.

        Where none was made, the next unit is of a GOP that was here before, or one to be looked at;
        see `RenditionsWanted`.
        """
        renditions = self._resources.renditions
        resting = [one for one in renditions if one.rendition.name not in want.renditions]
        for rendition in resting:
            if not rendition.rest():
                continue
            if isinstance(rendition, RenditionEncoder):
                self._post_release(rendition)
            else:
                self._life.post(RenditionRests(rendition.index))
        if len(resting) == len(renditions):
            for picture in stage.rest():
                stage.plan(picture)
            return
        if stage.is_resting:
            stage.wake(want.after_ms)
            self._path.lateness.opened_s = self._clock()
        for rendition in renditions:
            if rendition not in resting:
                rendition.wake()

    def _post_release(self, encoder: RenditionEncoder) -> None:
        """Have a rendition's encoder closed behind its last picture, and that told behind it."""
        with self._shared.lock:
            if self._shared.is_running:
                self._path.post_deferred()
                encoder.waiting += 1  # what comes meanwhile goes to the same thread
                encoder.thread.post(partial(self._release, encoder))

    def _release(self, encoder: RenditionEncoder) -> None:
        """In the thread that encodes it."""
        if encoder.thread is self._resources.decode_thread:
            self._path.post_all()
        try:
            self._resources.release(encoder)
        except (DeviceLost, MemoryError) as error:
            self._life.on_device_lost(error)
        self._life.post(RenditionRests(encoder.index))
        with self._shared.lock:
            encoder.waiting -= 1
            encoder.done += 1
            self._schedule()

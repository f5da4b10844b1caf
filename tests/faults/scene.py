"""A farm under load, and what its players saw around a moment: the stage of every fault.

Four publishers of 640x360 at 25 a second, forty players of a 360p rendition that takes every
picture, so stream time steps by 40 ms a picture and every lost or repeated one shows in the DTS.
"""

import itertools
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.faults.load import FRAME_MS, Load, LoadPlayer, LoadPublisher, Picture, Script
from tests.kit.clients import flv_tags
from tests.kit.clips import ClipSpec, make_clip
from tests.kit.farm import Farm
from tests.kit.waiting import until

CLIP = ClipSpec(
    seconds=10.0, fps=Fraction(25), gop_frames=25, b_frames=0, bitrate_bps=400_000, profile="main"
)
CLIP_MS = 10_000
OTHER_SETS = CLIP.but(profile="high", bitrate_bps=500_000)
OTHER_SIZE = CLIP.but(width=480, height=270)
KEYS = ("cam0", "cam1", "cam2", "cam3")
PLAYERS_A_STREAM = 10
GOP_MS = 1_000
RENDITION = "360p"

LOG_LEVEL = "INFO"
BEGINS_S = 0.3  # the wait that a fault makes has begun by then

CONFIG = """
log_level = "{log_level}"
orphan_timeout = "{orphan_timeout}"

[listen]
rtmp = "{rtmp}"
{listen}

[devices]
use_gpus = false

[software]
workers = {workers}
capacity = 10000

{more}

[templates.live]
gop = "1s"
hold = "{hold}"
wait = "8s"
max_source = "854x480@30"
{template}

[[templates.live.renditions]]
name = "360p"
width = 640
height = 360
fps = 25
bitrate = "500k"
"""


def log_everything() -> None:
    """Have the farms of scenes that begin from now on log at DEBUG."""
    global LOG_LEVEL
    LOG_LEVEL = "DEBUG"


def config(
    *,
    workers: int = 2,
    hold: str = "15s",
    more: str = "",
    template: str = "",
    orphan_timeout: str = "30s",
    renditions: str = "",
    listen: str = "",
    rtmp: str = "127.0.0.1:0",
) -> str:
    document = CONFIG.format(
        rtmp=rtmp,
        listen=listen,
        log_level=LOG_LEVEL,
        workers=workers,
        hold=hold,
        more=more,
        template=template,
        orphan_timeout=orphan_timeout,
    )
    return document + renditions


@dataclass
class Result:
    """One row of the table."""

    fault: str
    affected: int  # streams
    lost: int | None = None  # pictures, the worst affected stream's
    repeated: int = 0  # pictures that came twice or out of order, all streams'
    first_frame_s: float | None = None  # from the fault to the first new picture, the median
    disconnected: int = 0  # players
    others_lost: int = 0  # pictures, the worst of the other streams'
    browsers: str = ""  # the longest wait for a picture by each way to a browser; "": not watched
    limit: str = ""
    ok: bool = False
    note: str = ""


@dataclass
class Seen:
    """What one player saw from a moment on."""

    player: LoadPlayer
    since_s: float  # of the fault
    pictures: Sequence[Picture]  # without headers, from a little before it on

    @property
    def lost(self) -> int:
        """Pictures missing between the ones that came."""
        steps = self._steps()
        return sum(max(0, round(step / FRAME_MS) - 1) for step in steps if step > 0)

    @property
    def repeated(self) -> int:
        return sum(step <= 0 for step in self._steps())

    @property
    def longest_wait_s(self) -> float:
        """The longest time without a picture."""
        pairs = itertools.pairwise(self.pictures)
        return max((after.came_s - before.came_s for before, after in pairs), default=0.0)

    @property
    def first_new(self) -> Picture | None:
        """The first picture after the fault's own wait: the longest that began with it."""
        waits = [
            (after.came_s - before.came_s, after)
            for before, after in itertools.pairwise(self.pictures)
            if before.came_s < self.since_s + BEGINS_S and after.came_s > self.since_s
        ]
        return max(waits, key=lambda wait: wait[0])[1] if waits else None

    @property
    def first_of_session(self) -> Picture | None:
        """The first picture of another session: an IDR off the grid, or at worst the next on it.

        Another worker may be so fast that there is no wait to tell it by.
        """
        keys = [p for p in list(self.player.pictures) if p.is_key and not p.is_header]
        new = [
            after
            for before, after in itertools.pairwise(keys)
            if after.came_s > self.since_s and after.dts_ms - before.dts_ms != GOP_MS
        ]
        on_grid = [p for p in keys if p.came_s > self.since_s]
        return next(iter((*new, *on_grid)), None)

    def _steps(self) -> list[int]:
        times = [picture.dts_ms for picture in self.pictures]
        return [after - before for before, after in itertools.pairwise(times)]


@dataclass
class Scene:
    """Use as a context: the farm runs, publishers are in and players get pictures."""

    workers: int = 2
    hold: str = "15s"
    more: str = ""
    template: str = ""
    orphan_timeout: str = "30s"
    keys: Sequence[str] = KEYS
    players_a_stream: int = PLAYERS_A_STREAM
    rendition: str = RENDITION
    keep_of: str = ""  # the stream one of whose players keeps the pictures
    start_ms: int = 0  # the publishers' first timestamp
    renditions: str = ""  # more of the template's renditions
    listen: str = ""  # more of `[listen]`
    stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.settle()
        finally:
            self.stack.__exit__(kind, error, traceback)

    def settle(self) -> None:
        """Look at the farm once more before it ends."""

    def _build(self) -> None:
        document = config(
            workers=self.workers,
            hold=self.hold,
            more=self.more,
            template=self.template,
            orphan_timeout=self.orphan_timeout,
            renditions=self.renditions,
            listen=self.listen,
        )
        self.farm = self.stack.enter_context(Farm(document, standbys=True))
        self.load = self.stack.enter_context(Load())
        script = self.script(CLIP)
        for key in self.keys:
            self.load.publish(self.farm.url(key), key, script, self.start_ms)
        for key in self.keys:
            for index in range(self.players_a_stream):
                keep = key == self.keep_of and index == 0
                self.load.play(self.farm.url(key, self.rendition), key, self.rendition, keep=keep)
        self.wait_for_pictures()

    def add(self, key: str, spec: ClipSpec, renditions: Iterable[str]) -> None:
        """One more stream, with players of its own of each of these renditions."""
        self.load.publish(self.farm.url(key), key, self.script(spec))
        self.farm.wait_stream(key)
        for rendition in renditions:
            for _ in range(self.players_a_stream):
                self.load.play(self.farm.url(key, rendition), key, rendition)

    def script(self, spec: ClipSpec) -> Script:
        return Script(flv_tags(clip(spec)), CLIP_MS)

    def wait_for_pictures(self) -> None:
        """Until every player has had a second of them, one after the other."""

        def all_run() -> bool:
            since = time.monotonic() - 1.0
            return all(
                len([p for p in player.pictures[-40:] if p.came_s > since]) >= 20
                and player.pictures[-1].came_s > time.monotonic() - 0.3
                for player in self.load.players
            )

        try:
            until(all_run, 40, "every player gets its pictures")
        except AssertionError:
            refusals = {r for p in self.load.publishers.values() for r in p.refusals}
            refusals |= {r for p in self.load.players for r in p.refusals}
            print(self.farm.cli("status").stdout, refusals)
            raise

    # ---- who is who ---------------------------------------------------------------------------

    def publisher(self, key: str) -> LoadPublisher:
        return self.load.publishers[key]

    def players(self, keys: Iterable[str]) -> list[LoadPlayer]:
        wanted = set(keys)
        return [player for player in self.load.players if player.key in wanted]

    def pid(self, child: str) -> int:
        return int(self.farm.child(child)["pid"])

    def by_worker(self) -> dict[str, list[str]]:
        """The keys of the streams on each worker."""
        found: dict[str, list[str]] = {}
        for key, stream in self.farm.streams().items():
            found.setdefault(str(stream["worker"]), []).append(key)
        return found

    # ---- what was seen ------------------------------------------------------------------------

    def seen(self, keys: Iterable[str], since_s: float) -> list[Seen]:
        """What the players of these streams saw from just before `since_s` on."""
        return [seen_by(player, since_s) for player in self.players(keys)]

    def judge(
        self, fault: str, hit: Sequence[str], since_s: float, *, is_new_session: bool = False
    ) -> Result:
        """The row of a fault at `since_s` that was to hit these streams alone.

        `is_new_session`: it ended their sessions, so what is new begins with an IDR.
        """
        seen = self.seen(hit, since_s)
        others = self.seen(set(self.keys) - set(hit), since_s)
        found = [s.first_of_session if is_new_session else s.first_new for s in seen]
        first = [new.came_s - since_s for new in found if new is not None]
        return Result(
            fault,
            affected=len(hit),
            lost=max((s.lost for s in seen), default=0),
            repeated=sum(s.repeated for s in (*seen, *others)),
            first_frame_s=statistics.median(first) if first else None,
            disconnected=sum(player.losses for player in self.load.players),
            others_lost=max((s.lost for s in others), default=0),
        )


def seen_by(player: LoadPlayer, since_s: float) -> Seen:
    """What a player saw from just before `since_s` on."""
    pictures = [p for p in list(player.pictures) if p.came_s > since_s - 0.5]
    return Seen(player, since_s, [p for p in pictures if not p.is_header])


_clips: dict[ClipSpec, Path] = {}
_folder: list[tempfile.TemporaryDirectory[str]] = []


def clip(spec: ClipSpec) -> Path:
    """The FLV file of a spec, made when first asked for."""
    if spec not in _clips:
        if not _folder:
            _folder.append(tempfile.TemporaryDirectory(prefix="tfarm-faults-"))
        _clips[spec] = make_clip(Path(_folder[0].name) / f"{len(_clips)}.flv", spec)
    return _clips[spec]


def vitals(farm: Farm) -> dict[str, dict[str, int]]:
    """Memory of its own, descriptors and threads of each process of the farm, by child name."""
    found = {}
    for process, name in farm.named_processes():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            found[name] = {
                "memory": int(process.memory_full_info().uss),
                "descriptors": process.num_fds(),
                "threads": process.num_threads(),
            }
        except psutil.NoSuchProcess:
            continue
    return found

"""Three hosts with a network between them, under load, and what their players saw.

Four publishers of 640x360 and forty players. The first host has the streams cam0 and cam1, the
others have one each; it is the one whose member of etcd leads. Players of cam0 and cam1 are at the
other hosts, those of cam2 and cam3 at both of these. Every player keeps what it gets: sound passes
a farm unchanged, so it says whose media that was, and whether it is a publisher's at all.
"""

import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.faults import scene
from tests.faults.load import Load, LoadPlayer, LoadPublisher, Script
from tests.faults.scene import (
    BEGINS_S,
    CLIP,
    CLIP_MS,
    KEYS,
    PLAYERS_A_STREAM,
    RENDITION,
    Seen,
    seen_by,
)
from tests.hosts.causes import wait_registered
from tests.hosts.network import Namespace, Network
from tests.kit.certificates import Authority
from tests.kit.clients import flv_tags
from tests.kit.clips import ClipSpec
from tests.kit.cluster_farms import cluster_table
from tests.kit.etcd import Etcd, Place
from tests.kit.farm import TFARM, Farm
from tests.kit.waiting import until

RTMP_PORT, RELAY_PORT = 1935, 1936
OTHER_CLIP: Final = CLIP.but(volume=0.05)  # its sound is another one
# What a busy machine does to a worker or to players is not what is looked for.
UNHURRIED = """
[worker]
queue = "60s"
adapt = false

[egress]
queue = "60s"

[ingest]
exempt_networks = ["10.77.0.0/16"]
"""


@dataclass
class Row:
    """What came of a fault."""

    fault: str
    lost: int | None = None  # pictures, the worst player's
    repeated: int = 0  # pictures that came twice or out of order
    disconnected: int = 0  # players
    first_s: float | None = None  # the first new picture
    seen: str = ""  # whose media, and what else was looked at
    limit: str = ""
    ok: bool = False
    note: str = ""


class Host:
    """One of the three."""

    def __init__(self, space: Namespace, config: str) -> None:
        self.space = space
        supervisor = (*space.command, TFARM, "supervisor")
        self.farm = Farm(config, supervisor=supervisor, host="0.0.0.0")  # its network is its own
        self.is_dead = False

    @property
    def name(self) -> str:
        """In the cluster."""
        return f"h{self.space.number}"

    def url(self, key: str, rendition: str = "") -> str:
        """Where clients reach a stream of it."""
        return self.farm.url(key, rendition).replace("0.0.0.0", self.space.client_address)

    def kill(self) -> None:
        """Kill all of its processes at once."""
        self.space.kill()
        self.is_dead = True

    def close(self) -> None:
        """End its farm as an operator does, if it runs."""
        if self.is_dead:
            self.farm.kill()
        else:
            self.farm.__exit__(None, None, None)


class ThreeHosts:
    """They run, publishers are in and players get pictures, while the `with` block lasts."""

    def __init__(self, *, is_loaded: bool = True) -> None:
        """`is_loaded`: with publishers and players."""
        self._is_loaded = is_loaded
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            for host in self.hosts:
                print(f"---- {host.name}\n{host.farm.log()[-6000:]}")
                host.is_dead = True
        self._stack.__exit__(kind, error, traceback)

    def _build(self) -> None:
        stack = self._stack
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tfarm-hosts-")))
        self.network = stack.enter_context(Network(3))
        spaces = self.network.hosts
        self.etcd = stack.enter_context(
            Etcd(self.folder, places=[_place(space) for space in spaces])
        )
        self.authority = Authority(self.folder)
        self.hosts = [Host(space, self._config(space)) for space in spaces]
        for host in self.hosts:
            stack.callback(host.close)
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda host: host.farm.start(), self.hosts))
        wait_registered([host.farm for host in self.hosts], 3)
        leader = self.etcd.leader()
        self.first = self.hosts[leader]
        self.others = [host for host in self.hosts if host is not self.first]
        self.load = stack.enter_context(Load())
        self.clip, self.other_clip = script(CLIP), script(OTHER_CLIP)
        if self._is_loaded:
            self._begin_load()

    def _begin_load(self) -> None:
        for key, host in zip(KEYS, (self.first, self.first, *self.others), strict=True):
            self.load.publish(host.url(key), key, self.clip)
        for key in KEYS:
            for number in range(PLAYERS_A_STREAM):
                self.play(self.others[number % 2], key)
        self.wait_pictures(self.load.players)
        wait_registered([host.farm for host in self.hosts], 3)

    def _config(self, space: Namespace) -> str:
        name, folder = f"h{space.number}", self.folder
        self.authority.issue(name)
        table = cluster_table(name, self.etcd, folder)
        relay = json.dumps(f"{space.address}:{RELAY_PORT}")
        own = f'cert = "{folder}/{name}.pem"\nkey = "{folder}/{name}.key"\nca = "{folder}/ca.pem"\n'
        more = f"{UNHURRIED}{table}relay = {relay}\nrelay_address = {relay}\n{own}"
        return scene.config(workers=1, more=more, rtmp=f"0.0.0.0:{RTMP_PORT}")

    # ---- who is who ---------------------------------------------------------------------------

    def play(self, host: Host, key: str) -> LoadPlayer:
        """One more player."""
        return self.load.play(host.url(key, RENDITION), key, RENDITION, keep=True)

    def players(self, keys: Iterable[str]) -> list[LoadPlayer]:
        """Those of these streams."""
        wanted = set(keys)
        return [player for player in self.load.players if player.key in wanted]

    def move(self, publisher: LoadPublisher, host: Host) -> None:
        """Have it connect to another host the next time."""
        self.load.ask(lambda: setattr(publisher, "url", host.url(publisher.key)))

    def wait_pictures(self, players: Sequence[LoadPlayer], timeout: float = 40.0) -> None:
        """Until each of them has had a second of a publisher's media, and has it now."""

        def all_run() -> bool:
            now = time.monotonic()
            return all(_has_media(player, now) for player in players)

        try:
            until(all_run, timeout / 4, "every player gets its pictures", every=0.2)
        except AssertionError:
            for player in players:
                if not _has_media(player, time.monotonic()):
                    print("without", player.url, player.losses, player.refusals[-3:])
            for publisher in self.load.publishers.values():
                print("publisher", publisher.url, publisher.is_in, publisher.refusals[-3:])
            raise

    # ---- what was seen ------------------------------------------------------------------------

    def judge(self, fault: str, hit: Sequence[str], since_s: float) -> Row:
        """What a fault at `since_s` cost: the streams that it was to hit, and the others."""
        seen = [seen_by(player, since_s) for player in self.players(KEYS)]
        others = [one for one in seen if one.player.key not in hit]
        hits = [one for one in seen if one.player.key in hit]
        return Row(
            fault,
            lost=max((one.lost for one in others), default=None),
            repeated=sum(one.repeated for one in seen),
            disconnected=sum(player.losses for player in self.load.players),
            first_s=statistics.median(map(first_new_s, hits)) if hits else None,
        )


def first_new_s(seen: Seen, not_before_s: float = 0.0) -> float:
    """How long after the moment the first picture with a publisher's sound behind it came.

    A freeze frame has no publisher's sound with it. What came before `not_before_s` may have been
    on its way already.
    """
    player, since_s = seen.player, seen.since_s
    for came_s, _, body in player.sounds:
        if came_s > max(since_s + BEGINS_S, not_before_s) and body in SOUNDS:
            after = (p.came_s for p in seen.pictures if p.came_s >= came_s - 0.05)
            return next(after, float("inf")) - since_s
    return float("inf")


def sources(player: LoadPlayer, scripts: Sequence[Script]) -> list[int]:
    """Whose sound it got, in order, without repetitions: numbers of scripts."""
    tables = [{tag.body for tag in script.media if tag.type == 8} for script in scripts]
    found = [
        number
        for _, _, body in list(player.sounds)
        for number, table in enumerate(tables)
        if body in table and not any(body in other for other in tables if other is not table)
    ]
    return [number for number, _ in itertools.groupby(found)]


def script(spec: ClipSpec) -> Script:
    """What a publisher of this clip sends."""
    made = Script(flv_tags(scene.clip(spec)), CLIP_MS)
    SOUNDS.update(tag.body for tag in made.media if tag.type == 8)
    return made


SOUNDS: Final[set[bytes]] = set()  # of all scripts


def _has_media(player: LoadPlayer, now: float) -> bool:
    pictures = [p for p in player.pictures[-40:] if p.came_s > now - 1.0]
    sounds = [body for came_s, _, body in player.sounds[-60:] if came_s > now - 0.5]
    return len(pictures) >= 20 and any(body in SOUNDS for body in sounds)


def _place(space: Namespace) -> Place:
    return Place(f"{space.address}:2379", f"{space.address}:2380", space.command)

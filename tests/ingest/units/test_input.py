"""ingest/units/input.py: a toy process that has publishers, over a real link."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from common.access.bans import Ban
from common.access.credentials import Credentials
from common.access.refusal import Refusal, RefusalReason
from common.config.ladder import SOURCE, Takeover
from common.config.overrides import StreamOverrides
from common.config.settings import Pull
from common.ipc.bus import Bus
from common.ipc.control_messages import Endpoint, PublishRequest, Refused
from common.ipc.envelope import encode
from common.ipc.identity import BootId, ChildId, Generation
from common.ipc.media_listener import MediaListener
from common.ipc.media_messages import StreamClosed, StreamOpen, Tags
from common.ipc.socket_peers import SocketPeers
from common.ipc.status_messages import LineFigures
from common.ipc.unit_link import UnitLinks, UnitWay
from common.ipc.unit_messages import (
    KEY,
    Judged,
    PublishAccepted,
    PublishAsk,
    PublishCheck,
    PublishFinished,
    PublishRefused,
    PublishTimed,
    UnitItem,
    Units,
)
from common.media.clock import ClockReference, ResumeTime
from ingest.capture.recorder import Recorder
from ingest.input import InputContext
from ingest.streams.gop_transfer import pack
from ingest.streams.source_gop import SourceGop
from ingest.streams.stream import StreamState
from ingest.units.input import UnitsInput
from tests.kit.bus_loop import run
from tests.kit.children import INGEST0
from tests.kit.ingest_ports import STREAM, config, record, video_unit
from tests.kit.registry_rig import RegistryRig
from tests.kit.waiting import until_async

IDR, SLICE = b"\x00\x00\x00\x02\x65\x88", b"\x00\x00\x00\x02\x41\x88"
LOCKED_CAM = "locked", "cam"
HEADER = UnitItem("video-config", "h264"), record()


class ToyPublisher:
    """A publisher of the toy process, which notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.way: UnitWay | None = None

    def on_answer(self, answer: Any) -> None:
        self.told.append(answer)

    def on_cut_off(self, reason: str) -> None:
        self.told.append(reason)

    def send(self, *items: tuple[UnitItem, bytes]) -> None:
        assert self.way is not None
        assert self.way.send([item for item, _ in items], [payload for _, payload in items])

    def of(self, kind: type[Any]) -> list[Any]:
        return [one for one in self.told if isinstance(one, kind)]


def picture(at_ms: int, *, key: bool = False) -> tuple[UnitItem, bytes]:
    return UnitItem("video", "h264", at_ms, 0, KEY * key, 100.0), IDR if key else SLICE


class UnitsRig(RegistryRig):
    """An ingest's streams with that input alone, and the toy process's links."""

    def __init__(self, bus: Bus, folder: Path, kind: str = "relay", **ingest: Any) -> None:
        super().__init__(**ingest)
        self.bus, self.folder, self.kind = bus, folder, kind

        def listener(name: str, on_frames: Any) -> MediaListener:
            address = f"ipc://{folder}/{name}"
            return MediaListener(bus, address, on_frames, peers=SocketPeers(name))

        context = InputContext(
            self.streams,
            self.admission,
            lambda coroutine: None,
            (),
            is_shared=False,
            recorder=Recorder(None, lambda: 1.0, lambda: 1.0),  # type: ignore[arg-type]  # no disk
            endpoint=lambda name, scheme: name,
            listener=self._keep(listener),
        )
        self.input = UnitsInput(context)
        self.links = UnitLinks(bus)
        self.announce()

    def _keep(self, make: Callable[[str, Any], MediaListener]) -> Any:
        def listener(name: str, on_frames: Any) -> MediaListener:
            self.listener = make(name, on_frames)
            return self.listener

        return listener

    def announce(self, *, is_there: bool = True, is_retiring: bool = False) -> None:
        """Tell both ends who runs."""
        peers = [Endpoint(ChildId(self.kind), BootId("p"), pid=os.getpid())] if is_there else []
        self.listener.follow(peers)
        self.input.on_topology(peers)
        units = self.input.endpoints["units"]
        own = Endpoint(INGEST0, BootId("i"), units=units, is_retiring=is_retiring)
        self.links.follow([own])

    async def ask(self, **changes: Any) -> ToyPublisher:
        """Have one ask, and wait until it is asked for or refused."""
        publisher = ToyPublisher()
        fields = {"app": "live", "key": "cam", "peer": "203.0.113.7:5000", "protocol": "toy"}
        payloads = changes.pop("payloads", ())

        def make(number: int) -> PublishAsk:
            return PublishAsk(number, **{**fields, **changes})

        before = self.count(PublishRequest)
        publisher.way = self.links.ask(publisher, "live/cam", make, payloads)
        assert publisher.way is not None
        await until_async(lambda: publisher.told or self.count(PublishRequest) > before)
        return publisher

    async def send_live(self, **changes: Any) -> ToyPublisher:
        publisher = await self.ask(**changes)
        self.place()
        await until_async(lambda: publisher.of(PublishAccepted))
        publisher.send(HEADER, picture(1000, key=True))
        await until_async(lambda: publisher.of(PublishTimed))
        return publisher

    def close(self) -> None:
        self.links.close()
        self.input.close()


def around(tmp_path: Path, scenario: Callable[[UnitsRig], Awaitable[None]], **rig: Any) -> None:
    async def with_rig(bus: Bus) -> None:
        here = UnitsRig(bus, tmp_path, **rig)
        try:
            await scenario(here)
        finally:
            here.close()

    run(with_rig)


def test_a_publisher_whose_stream_goes_on_elsewhere_leaves_its_players_to_that(
    tmp_path: Path,
) -> None:
    async def scenario(rig: UnitsRig) -> None:
        publisher = await rig.send_live()
        egress = rig.peers.running[0]
        assert publisher.way is not None
        publisher.way.over("it goes on at host h3", goes_on=True)
        await until_async(lambda: not rig.input.connections)
        assert len(rig.streams) == 0
        assert egress.of(StreamClosed)[-1].hold_ms > 0

    around(tmp_path, scenario)


def test_a_publisher_of_another_process_is_served_like_any_other(tmp_path: Path) -> None:
    async def scenario(rig: UnitsRig) -> None:
        publisher = await rig.ask(encoder="OBS")
        asked = rig.last(PublishRequest)
        assert (asked.stream_id, asked.address) == (STREAM, "203.0.113.7:5000")
        assert rig.admission.address_usage() == {"203.0.113.7": (1, 1)}
        rig.place()
        await until_async(lambda: publisher.told == [PublishAccepted(1)])
        publisher.send(HEADER, picture(1000, key=True))
        publisher.send(picture(1040))
        egress = rig.peers.running[0]
        await until_async(lambda: len(egress.numbers(SOURCE)) >= 2)
        assert egress.of(StreamOpen)
        times = [tag.dts_ms for tags in egress.of(Tags) for tag in tags.tags if tag.flags != 2]
        assert times == [1000, 1040]
        epoch_ms = egress.of(StreamOpen)[-1].epoch_ms
        timed = PublishTimed(1, 1000, 1000, epoch_ms)
        await until_async(lambda: publisher.told[-1] == timed)
        assert epoch_ms is not None
        assert rig.input.connections == 1
        assert rig.input.counters["publishers by toy"] == 1
        assert publisher.way is not None
        publisher.way.over("it stops", is_meant=True)
        await until_async(lambda: not rig.input.connections)
        assert len(rig.streams) == 0
        assert rig.admission.address_usage() == {}

    around(tmp_path, scenario)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"app": "nowhere"}, "no app 'nowhere'"),
        ({"app": "locked"}, "publish key"),
        ({"peer": "192.0.2.66:1"}, "banned"),
        ({"judged": Judged(Credentials("203.0.113.7"))}, "may let nobody in"),
    ],
)
def test_refusals_come_with_their_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: Any, words: str
) -> None:
    monkeypatch.setattr("ingest.units.input.JUDGING", frozenset())

    async def scenario(rig: UnitsRig) -> None:
        rig.streams.bans.replace((Ban("192.0.2.66", "spam", 1e12),))
        publisher = await rig.ask(**changes)
        (refused,) = publisher.told
        assert isinstance(refused, PublishRefused)
        assert words in refused.refusal.words
        assert rig.input.connections == 0
        assert rig.admission.open_connections == 0

    around(tmp_path, scenario)


@pytest.mark.parametrize(
    ("app", "key", "words"),
    [
        ("live", "cam", "in use"),
        ("live", "other", ""),
        ("nowhere", "cam", "no app"),
        ("locked", "cam", "publish key"),
    ],
)
def test_who_only_asks_whether_is_told_and_holds_nothing(
    tmp_path: Path, app: str, key: str, words: str
) -> None:
    async def scenario(rig: UnitsRig) -> None:
        await rig.send_live()
        answers: list[Refusal | None] = []
        before = rig.admission.address_usage()
        assert rig.links.check(
            f"{app}/{key}",
            lambda number: PublishCheck(number, app, key, "203.0.113.9:1", "toy"),
            answers.append,
        )
        await until_async(lambda: answers)
        (answer,) = answers
        assert words in answer.words if answer is not None else not words
        assert rig.admission.address_usage() == before
        assert rig.count(PublishRequest) == 1

    around(tmp_path, scenario)


def test_who_was_judged_by_another_host_is_asked_nothing_again(tmp_path: Path) -> None:
    async def scenario(rig: UnitsRig) -> None:
        who, what = Credentials("203.0.113.7", "k1"), StreamOverrides(play_keys=("d" * 64,))
        await rig.ask(app="locked", judged=Judged(who, what))
        asked = rig.last(PublishRequest)
        assert (asked.credentials, asked.overrides) == (who, what)
        assert len(rig.streams.entrance.sessions) == 0, "its own host tells the hooks"

    around(tmp_path, scenario)


def test_the_second_is_refused_until_the_first_is_silent(tmp_path: Path) -> None:
    async def scenario(rig: UnitsRig) -> None:
        await rig.send_live()
        second = await rig.ask()
        assert second.of(PublishRefused)[0].refusal.words.startswith("the stream key is in use")

    around(tmp_path, scenario)


def test_a_refusal_by_the_supervisor_and_an_end_are_told(tmp_path: Path) -> None:
    async def scenario(rig: UnitsRig) -> None:
        first = await rig.ask()
        ask = rig.last(PublishRequest)
        full = Refusal(RefusalReason.FULL, "no room")
        rig.from_supervisor.refused_by_supervisor(Refused(ask.request_id, STREAM, full), 100.0)
        await until_async(lambda: first.told == [PublishRefused(1, full)])
        second = await rig.send_live()
        rig.streams.close("the server is stopping", 101.0)
        await until_async(lambda: second.of(PublishFinished))
        assert rig.input.connections == 0

    around(tmp_path, scenario)


def test_how_its_packets_come_stands_in_status_while_it_is_there(tmp_path: Path) -> None:
    async def scenario(rig: UnitsRig) -> None:
        publisher = await rig.send_live()
        assert publisher.way is not None
        line = LineFigures("srt", 120, 20.5, 1000, 50, 2)
        publisher.way.report(line)
        await until_async(lambda: rig.streams.statuses(100.0)[0].line == line)

    around(tmp_path, scenario)


@pytest.mark.parametrize("how", ["over", "process gone", "link closed"])
def test_one_that_is_lost_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("common.ipc.media_listener.LOOK_S", 0.01)

    async def scenario(rig: UnitsRig) -> None:
        publisher = await rig.send_live()
        stream = rig.streams.get(STREAM)
        assert stream is not None
        assert publisher.way is not None
        if how == "over":
            publisher.way.over("the network")
        elif how == "process gone":
            rig.announce(is_there=False)
        else:
            rig.links.close()

            def is_seen() -> bool:
                rig.input.check()
                return not rig.input.connections

            await until_async(is_seen)
        await until_async(lambda: stream.state is StreamState.HELD)
        assert rig.input.connections == 0

    around(tmp_path, scenario)


@pytest.mark.parametrize(
    "items", [(UnitItem("flv"),), (UnitItem("video", "h264", 1 << 60),)], ids=["kind", "time"]
)
def test_what_may_not_be_costs_the_publisher_alone(tmp_path: Path, items: Any) -> None:
    async def scenario(rig: UnitsRig) -> None:
        first = await rig.send_live()
        second = await rig.send_live(key="other", peer="203.0.113.8:1")
        assert first.way is not None
        first.way.send(items, [b"x"])
        await until_async(lambda: first.of(PublishRefused))
        assert rig.input.connections == 1
        second.send(picture(1040))
        assert not second.of(PublishRefused)
        assert rig.input.counters["unread units"] == 1

    around(tmp_path, scenario)


def test_what_is_no_message_is_counted(tmp_path: Path) -> None:
    async def scenario(rig: UnitsRig) -> None:
        publisher = await rig.send_live()
        assert publisher.way is not None
        link = publisher.way._link
        for frames in ([b"x"], [encode(PublishAccepted(1))], [encode(Units(99, ()))]):
            link.send(frames)
        await until_async(lambda: rig.input.counters["unread units"] == 2)
        await until_async(lambda: rig.input.connections == 0)  # the second was about it

    around(tmp_path, scenario)


def test_one_that_leaves_for_its_successor_takes_nobody_new(tmp_path: Path) -> None:
    async def scenario(rig: UnitsRig) -> None:
        publisher = await rig.send_live()
        rig.input.retire()
        other = await rig.ask(key="other")
        assert other.of(PublishRefused)
        rig.announce(is_retiring=True)
        assert rig.links.ask(ToyPublisher(), "live/x", lambda number: None) is None  # type: ignore[arg-type, return-value]  # nobody is asked
        publisher.send(picture(1040))
        await asyncio.sleep(0)
        assert rig.input.connections == 1

    around(tmp_path, scenario)


def test_one_goes_on_with_a_stream_whose_owner_is_lost(tmp_path: Path) -> None:
    async def scenario(rig: UnitsRig) -> None:
        gop = SourceGop()
        gop.add(config())
        gop.add(video_unit(9_000, key=True, data=IDR))
        message, payloads = pack(STREAM, Generation(1), None, gop)
        resume = ResumeTime(ClockReference(9_000, 99.0), 9_000, 0)
        publisher = await rig.ask(resume=resume, gop=message, payloads=payloads)
        rig.place()
        await until_async(lambda: publisher.of(PublishAccepted))
        (accepted,) = publisher.told
        assert (accepted.reference, accepted.end_ms) == (resume.reference, 9_000)
        assert rig.peers.running[0].of(StreamOpen), "its players have the last picture"
        publisher.send(HEADER, picture(1000, key=True))
        await until_async(lambda: publisher.of(PublishTimed))
        assert publisher.of(PublishTimed)[-1].stream_ms > 9_000
        assert publisher.of(PublishTimed)[-1].epoch_ms == 0

    around(tmp_path, scenario)


def order(rig: UnitsRig, *streams: tuple[str, str]) -> None:
    """Have the ingest's own configuration say that these are fetched."""
    pulls = tuple(Pull(app, key, "") for app, key in streams)
    rig.streams.settings = replace(rig.streams.settings, pulls=pulls)


def test_what_the_configuration_orders_is_asked_for_no_key(tmp_path: Path) -> None:
    async def scenario(rig: UnitsRig) -> None:
        order(rig, ("locked", "cam"))
        await rig.ask(app="locked", is_ordered=True)
        asked = rig.last(PublishRequest)
        assert asked.stream_id == "locked/cam"

    around(tmp_path, scenario, kind="pull")


@pytest.mark.parametrize(
    ("kind", "ordered"), [("pull", ()), ("pull", (("locked", "other"),)), ("srt", (LOCKED_CAM,))]
)
def test_what_nobody_ordered_and_who_fetches_nothing_is_refused(
    tmp_path: Path, kind: str, ordered: Any
) -> None:
    async def scenario(rig: UnitsRig) -> None:
        order(rig, *ordered)
        publisher = await rig.ask(app="locked", is_ordered=True)
        (refused,) = publisher.told
        assert "not configured to be pulled" in refused.refusal.words

    around(tmp_path, scenario, kind=kind)


def test_what_is_fetched_takes_the_stream_from_nobody_whatever_the_app_says(
    tmp_path: Path,
) -> None:
    async def scenario(rig: UnitsRig) -> None:
        order(rig, ("live", "cam"))
        publisher = await rig.send_live(is_ordered=True)
        second = await rig.ask(is_ordered=True)
        assert second.of(PublishRefused)[0].refusal.words == "the stream key is in use"
        assert not publisher.of(PublishRefused)

    around(tmp_path, scenario, kind="pull", takeover=Takeover.ALWAYS)

"""egress/relay/pulls.py: which streams come from which hosts, with each host's end behind it"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from common.config.ladder import AwayPicture
from common.ipc.cluster_messages import OwnerWanted, StreamOwner
from common.ipc.envelope import decode
from common.ipc.identity import ChildId, Generation, StreamId
from common.ipc.media_messages import KEY, GenerationEnd, StreamClosed, StreamOpen, Tags
from common.ipc.relay_messages import RemotePlay, RemotePlayEnd
from common.link.messages import LinkGreeting
from common.link.serving import Demanded, Serving
from egress.relay.play import Host
from egress.relay.played_stream import Frames, Key
from egress.relay.pulls import IDLE_S, OVERLAP_S, UNCONFIRMED_S, UNHEARD_S, Pulls
from egress.relay.still import AFTER_S
from tests.kit.host_link import EDGE, STREAM, VIDEO_FACTS, opened, picture

ID = StreamId("live/cam")
ZERO = opened().zero_unix_ms
A, C = "10.0.0.1:1936", "10.0.0.3:1936"


class FakeLinks:
    """The egresses: what they were sent, and what they demand."""

    def __init__(self) -> None:
        self.sent: list[object] = []
        self.demand: frozenset[str] = frozenset()
        self.forgotten: list[int] = []
        self.is_gathering = False

    def send(self, rendition: Key, frames: Frames) -> None:
        self.sent.append(decode(frames[0]))

    def send_tags(self, rendition: Key, frames: Frames, *, is_start: bool) -> None:
        assert self.is_gathering  # what one read brought goes on together
        self.sent.append(decode(frames[0]))

    def gather(self) -> None:
        self.is_gathering = True

    def flush(self) -> None:
        self.is_gathering = False

    def forget(self, stream: StreamId, generation: Generation) -> None:
        self.forgotten.append(generation)

    def demanded(self, stream: StreamId) -> frozenset[str]:
        return self.demand


class Owner:
    """The other end of a connection to a host."""

    def __init__(self, rig: "Rig", host: Host) -> None:
        self.host, self._rig = host, rig
        own = LinkGreeting(1, "farm", host.name, "x")
        self.wire = bytearray()
        self.serving = Serving(own, frozenset(("host-b",)), self._write, lambda: 0.0)
        self.demanded: list[Demanded] = []
        self.zero_unix_ms: int | None = ZERO
        host.pulling.connected(self._take)
        self.carry()

    def carry(self) -> None:
        while self.wire:
            data, self.wire = bytes(self.wire), bytearray()
            found = self.host.pulling.feed(data, self._rig.now)
            self._rig.pulls.on_all_media(self.host, found, self._rig.now)

    def begin(self, epoch: int = 7, *times: int) -> None:
        self.serving.opened(replace(opened(epoch=epoch), zero_unix_ms=self.zero_unix_ms))
        self.serving.headers(STREAM, "720p", VIDEO_FACTS, b"script", b"header")
        tags = [picture(t, is_key=t % 1000 == 0) for t in times or (0, 40)]
        self.serving.tags(STREAM, "720p", tags)
        self.carry()

    def put(self, *times: int) -> None:
        tags = [picture(t, is_key=t % 1000 == 0) for t in times]
        self.serving.tags(STREAM, "720p", tags)
        self.carry()

    def _write(self, parts: Sequence[bytes]) -> None:
        self.wire += b"".join(parts)

    def _take(self, parts: Sequence[bytes]) -> None:
        self.demanded += self.serving.feed(b"".join(parts))


class Rig:
    def __init__(self) -> None:
        self.now = 100.0
        self.links = FakeLinks()
        self.asked: list[OwnerWanted] = []
        self.pulls = Pulls(ChildId("relay"), self.links, self.asked.append)
        self.pulls.configure(EDGE, 10.0)

    def play(self, generation: int = 12, *names: str) -> None:
        self.pulls.on_play(RemotePlay(ID, Generation(generation), names or ("720p",)), self.now)

    def owner(
        self,
        host: str = "host-a",
        relay: str = A,
        epoch: int = 7,
        *,
        here: bool = False,
        farm: str = "",
    ) -> None:
        owner = StreamOwner(STREAM, ID, host, relay, epoch, here, farm=farm)
        self.pulls.on_owner(owner, self.now)

    def connect(self, host: str = "host-a", relay: str = A) -> Owner:
        return Owner(self, self.pulls.hosts[host, relay])

    def pass_s(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 1.0
            self.pulls.tick(self.now)

    def kinds(self) -> list[str]:
        sent, self.links.sent = self.links.sent, []
        return [type(message).__name__ for message in sent]


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_stream_is_pulled_from_whoever_has_it(rig: Rig) -> None:
    rig.play()
    assert rig.asked == [OwnerWanted(stream_id=ID)]
    assert rig.pulls.hosts == {}
    rig.owner()
    owner = rig.connect()
    assert owner.demanded == [Demanded(STREAM, ("720p",))]
    owner.begin()
    sent = rig.links.sent
    assert [type(message).__name__ for message in sent] == ["StreamOpen", "RenditionOpen", "Tags"]
    first = sent[0]
    assert isinstance(first, StreamOpen)
    assert (first.generation, first.worker) == (12, ChildId("relay"))
    assert rig.pulls.counters["relay pulled streams"] == 1


def test_what_is_watched_here_crosses_and_what_is_not_does_not(rig: Rig) -> None:
    rig.play()
    rig.owner()
    owner = rig.connect()
    owner.begin()
    rig.links.demand = frozenset(("360p",))
    rig.pulls.on_demand(ID, rig.now)
    assert owner.demanded[-1] == Demanded(STREAM, ("360p", "720p"))
    rig.pass_s(11)
    assert owner.demanded[-1] == Demanded(STREAM, ("360p",))
    rig.pulls.on_play_end(RemotePlayEnd(ID, "nobody plays it"), rig.now)
    assert owner.demanded[-1] == Demanded(STREAM, ())
    assert rig.kinds()[-2:] == ["GenerationEnd", "StreamClosed"]
    rig.pass_s(IDLE_S + 1)
    assert rig.pulls.hosts == {}


OTHER_ZERO = 1_900_000_000_000


def another(rig: Rig, zero_unix_ms: int | None = OTHER_ZERO) -> Owner:
    """Another host has the stream, and has opened it."""
    rig.play(13)
    rig.owner("host-c", C, 9)
    second = rig.connect("host-c", C)
    second.zero_unix_ms = zero_unix_ms
    return second


def test_another_owner_s_stream_goes_on_under_another_generation(rig: Rig) -> None:
    """Its time is another one: the publisher came there anew."""
    rig.play()
    rig.owner()
    first = rig.connect()
    first.begin()
    second = another(rig)
    rig.kinds()
    first.put(80)
    assert rig.kinds() == ["Tags"], "until the next one opens it"
    second.begin(9, 1000, 1040)
    sent = rig.links.sent
    assert isinstance(sent[0], StreamOpen)
    assert sent[0].generation == 13
    assert rig.links.forgotten == [12]
    assert first.demanded[-1].renditions == ()
    rig.kinds()
    first.put(120)
    assert rig.kinds() == [], "what the one before still sends is left alone"
    rig.owner(epoch=8)  # an answer that was late
    assert first.demanded[-1].renditions == ()


def test_a_stream_that_goes_to_another_host_is_taken_from_both_for_a_moment(rig: Rig) -> None:
    """Its time is the same: nothing is lost or repeated, and its generation stays."""
    rig.play()
    rig.owner()
    first = rig.connect()
    first.begin(7, 880, 920)
    first.put(1_000, 1_040)
    second = another(rig, ZERO)
    second.begin(9, 2_000, 2_040)
    first.put(*range(1_080, 2_000, 40))
    second.put(2_080)
    sent = [m for m in rig.links.sent if isinstance(m, Tags) and m.rendition == "720p"]
    times = [tag.dts_ms for message in sent for tag in message.tags]
    assert times == [880, 920, *range(1_000, 2_081, 40)]
    opens = [message for message in rig.links.sent if isinstance(message, StreamOpen)]
    assert {message.generation for message in opens} == {12}
    assert first.demanded[-1].renditions == ()
    assert rig.links.forgotten == []


@pytest.mark.parametrize("how", ["closed", "lost", "time"])
def test_the_host_before_is_not_waited_for_when_it_is_gone(rig: Rig, how: str) -> None:
    rig.play()
    rig.owner()
    first = rig.connect()
    first.begin(7, 1_000, 1_040)
    second = another(rig, ZERO)
    second.begin(9, 2_000, 2_040)
    rig.links.sent.clear()
    if how == "closed":
        first.serving.closed(STREAM, "this host has it no more", 10_000)
        first.carry()
    elif how == "lost":
        rig.pulls.on_lost(first.host, rig.now)
    else:
        rig.pass_s(OVERLAP_S)
    assert rig.kinds() == ["RenditionOpen", "Tags"]
    if how != "lost":
        assert first.demanded[-1].renditions == ()
    second.put(2_080)
    assert rig.kinds() == ["Tags"]


def test_a_host_that_never_opens_what_it_claims_is_held_as_one_that_is_away(rig: Rig) -> None:
    rig.play()
    rig.owner()
    first = rig.connect()
    first.begin(7, 1_000, 1_040)
    another(rig, ZERO)
    first.serving.closed(STREAM, "this host has it no more", 10_000)
    first.carry()
    rig.kinds()
    rig.pass_s(UNHEARD_S - 1)
    assert "StreamClosed" not in rig.kinds()
    rig.pass_s(2 + opened().template.hold_ms / 1000)
    assert "StreamClosed" in rig.kinds()


def test_another_farm_of_the_same_host_begins_anew_with_its_headers(rig: Rig) -> None:
    rig.play()
    rig.owner()
    owner = rig.connect()
    owner.begin()
    rig.kinds()
    rig.play(13)
    rig.owner(epoch=9, farm="another")
    assert owner.demanded[-2:] == [Demanded(STREAM, ()), Demanded(STREAM, ("720p",))]
    owner.zero_unix_ms = OTHER_ZERO
    owner.begin(9, 1000)
    assert rig.kinds() == ["StreamOpen", "RenditionOpen", "Tags"]
    assert rig.links.forgotten == [12]


def test_a_relay_s_supervisor_that_asks_anew_cuts_nothing(rig: Rig) -> None:
    rig.play()
    rig.owner()
    owner = rig.connect()
    owner.begin()
    rig.kinds()
    rig.play(13)
    rig.owner()
    owner.put(80)
    assert rig.kinds() == ["Tags"]
    assert owner.demanded == [Demanded(STREAM, ("720p",))]


def test_a_claim_anew_of_the_same_host_is_no_cut(rig: Rig) -> None:
    """After all of etcd was away, every host claims what it has under a higher epoch."""
    rig.play()
    rig.owner()
    owner = rig.connect()
    owner.begin()
    rig.kinds()
    rig.owner(epoch=9)
    owner.serving.tags(STREAM, "720p", [picture(80)])
    owner.carry()
    assert rig.kinds() == ["Tags"]
    assert owner.demanded == [Demanded(STREAM, ("720p",))]


def test_a_link_that_is_back_soon_ends_nothing(rig: Rig) -> None:
    rig.play()
    rig.owner()
    owner = rig.connect()
    owner.begin()
    rig.kinds()
    rig.pulls.on_lost(owner.host, rig.now)
    rig.pass_s(UNHEARD_S / 2)
    again = rig.connect()
    assert again.demanded == [Demanded(STREAM, ("720p",))]
    again.begin(7, 0, 40, 80)
    assert rig.kinds() == ["StreamOpen", "RenditionOpen", "Tags"]
    rig.pass_s(UNHEARD_S * 2)
    assert "StreamClosed" not in rig.kinds()


@pytest.mark.parametrize("host", ["", "host-a"])
def test_a_registry_that_loses_sight_of_an_owner_ends_nothing(rig: Rig, host: str) -> None:
    """Its keys are gone, or it is missing; media comes as before."""
    rig.play()
    rig.owner()
    owner = rig.connect()
    owner.begin()
    rig.links.demand = frozenset(("720p",))
    rig.owner(host, "", 7 if host else 0)
    rig.pass_s(UNHEARD_S * 2)
    assert "StreamClosed" not in rig.kinds()
    owner.begin(7, 80)
    assert "Tags" in rig.kinds()
    assert owner.demanded == [Demanded(STREAM, ("720p",))]


def stills(rig: Rig, seconds: float) -> list[int]:
    """The times of pictures that are shown while nothing comes."""
    rig.links.sent.clear()
    for _ in range(int(seconds * 10)):
        rig.now += 0.1
        rig.pulls.show_stills(rig.now)
    rig.pulls.tick(rig.now)
    sent, rig.links.sent = [m for m in rig.links.sent if isinstance(m, Tags)], []
    assert all(tag.flags == KEY for message in sent for tag in message.tags)
    return [tag.dts_ms for message in sent for tag in message.tags]


def test_an_owner_that_stays_away_has_its_players_held_with_its_last_picture(rig: Rig) -> None:
    rig.play()
    rig.owner()
    owner = rig.connect()
    owner.begin()
    assert not rig.pulls.show_stills(rig.now)
    rig.pulls.on_lost(owner.host, rig.now)
    assert stills(rig, AFTER_S - 0.2) == []  # a link that comes back until then loses nothing
    shown = stills(rig, 7.0)
    assert shown[0] >= 2_000
    assert all(before < after for before, after in pairwise(shown))
    hold_s = opened().template.hold_ms / 1000
    rig.now += UNHEARD_S + hold_s - 10.0 - 1.0
    rig.pulls.tick(rig.now)
    assert not any(isinstance(message, StreamClosed) for message in rig.links.sent)
    rig.pass_s(3)
    assert rig.kinds()[-2:] == ["GenerationEnd", "StreamClosed"]
    assert stills(rig, 2.0) == []


def test_what_comes_behind_a_picture_that_was_shown_begins_with_a_keyframe(rig: Rig) -> None:
    rig.play()
    rig.owner()
    owner = rig.connect()
    owner.begin()
    rig.pulls.on_lost(owner.host, rig.now)
    (*_, last_ms) = stills(rig, AFTER_S + 1.5)
    again = rig.connect()
    again.begin(7, 0, 40, last_ms - 1, last_ms + 1)
    tags = [m for m in rig.links.sent if isinstance(m, Tags) and m.tags]
    assert tags == []
    assert not rig.pulls.show_stills(rig.now)
    again.serving.tags(STREAM, "720p", [picture(last_ms + 40), picture(10_000, is_key=True)])
    again.serving.tags(STREAM, "720p", [picture(10_040)])
    again.carry()
    sent = [m for m in rig.links.sent if isinstance(m, Tags)]
    assert [tag.dts_ms for message in sent for tag in message.tags] == [10_000, 10_040]


@pytest.mark.parametrize("has_picture", [True, False])
def test_players_of_a_stream_without_filler_or_picture_are_held_without_one(
    rig: Rig, has_picture: bool
) -> None:
    rig.play()
    rig.owner()
    owner = rig.connect()
    template = replace(opened().template, away_picture=AwayPicture.NONE)
    owner.serving.opened(replace(opened(), template=template) if has_picture else opened())
    if has_picture:
        owner.serving.headers(STREAM, "720p", VIDEO_FACTS, b"script", b"header")
        owner.serving.tags(STREAM, "720p", [picture(0, is_key=True)])
    owner.carry()
    assert ("Tags" in rig.kinds()) is has_picture
    rig.pulls.on_lost(owner.host, rig.now)
    rig.pass_s(UNHEARD_S - 2)
    assert not any(isinstance(message, StreamClosed) for message in rig.links.sent)
    rig.pass_s(3)
    closed = rig.links.sent[-1]
    assert isinstance(closed, StreamClosed)
    assert closed.hold_ms == opened().template.hold_ms > 0
    assert not any(isinstance(message, GenerationEnd) for message in rig.links.sent)


def test_what_another_supervisor_does_not_want_is_release(rig: Rig) -> None:
    rig.play()
    rig.owner()
    rig.connect().begin()
    rig.pulls.on_supervisor(rig.now)
    rig.pass_s(UNCONFIRMED_S - 2)
    assert len(rig.pulls) == 1
    rig.pass_s(3)
    assert len(rig.pulls) == 0


@pytest.mark.parametrize("knows_first", [True, False])
def test_a_stream_that_has_come_here_is_pulled_up_to_its_last_picture(
    rig: Rig, knows_first: bool
) -> None:
    rig.play()
    rig.owner()
    owner = rig.connect()
    owner.begin()
    rig.kinds()
    end = RemotePlayEnd(ID, "it is published here", 5000)
    if not knows_first:
        rig.pulls.on_play_end(end, rig.now)
    rig.owner("host-b", "10.0.0.2:1936", 9, here=True)
    if knows_first:
        rig.pulls.on_play_end(end, rig.now)
    owner.put(80)
    assert rig.kinds() == ["Tags"]
    owner.serving.closed(STREAM, "this host has it no more", 10_000)
    owner.carry()
    assert rig.kinds() == ["GenerationEnd", "StreamClosed"]
    assert owner.demanded[-1] == Demanded(STREAM, ())
    assert len(rig.pulls) == 0


def test_an_owner_that_does_not_know_yet_that_it_is_one_is_asked_again_at_once(rig: Rig) -> None:
    """The registry tells the other hosts at the same moment."""
    calls: list[tuple[float, Callable[[float], None]]] = []
    rig.pulls.later = lambda seconds, what: calls.append((seconds, what))
    rig.play()
    rig.owner()
    owner = rig.connect()
    owner.serving.instead(STREAM)
    owner.carry()
    ((seconds, again),) = calls
    assert seconds < 0.2
    again(rig.now + seconds)
    assert owner.demanded == [Demanded(STREAM, ("720p",))] * 2
    owner.begin()
    assert rig.pulls.counters["relay pulled streams"] == 1


def test_a_host_asks_not_itself(rig: Rig) -> None:
    """Its own key is still there, of a stream that has just ended here."""
    rig.play()
    rig.owner(EDGE.host, "10.0.0.2:1936", 6)
    assert rig.pulls.hosts == {}
    rig.owner()
    assert len(rig.pulls.hosts) == 1


def test_one_that_has_come_here_and_is_wanted_again_begins_anew(rig: Rig) -> None:
    rig.play()
    rig.owner()
    owner = rig.connect()
    owner.begin()
    rig.kinds()
    rig.pulls.on_play_end(RemotePlayEnd(ID, "it is published here", 5000), rig.now)
    rig.play(14)
    assert rig.kinds() == ["GenerationEnd", "StreamClosed"]
    rig.owner(epoch=11)
    owner.begin(11, 1_000)
    first = rig.links.sent[0]
    assert isinstance(first, StreamOpen)
    assert first.generation == 14


def test_one_whose_host_is_lost_and_that_has_come_here_ends_at_once(rig: Rig) -> None:
    rig.play()
    rig.owner()
    owner = rig.connect()
    owner.begin()
    rig.pulls.on_lost(owner.host, rig.now)
    rig.kinds()
    rig.pulls.on_play_end(RemotePlayEnd(ID, "it is published here", 5000), rig.now)
    assert rig.kinds() == ["GenerationEnd", "StreamClosed"]

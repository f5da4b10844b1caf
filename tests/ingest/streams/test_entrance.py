"""ingest/streams/entrance.py: publishers that wait for a hook. Other checks: test_registry.py."""

from dataclasses import replace
from typing import Any

import pytest

from common.access.bans import Ban
from common.access.keys import digest_of
from common.config.hooks import HookEvent, OnError
from common.config.ladder import Takeover
from common.config.limits import StreamLimits
from common.config.overrides import StreamOverrides
from common.ipc.control_messages import PublishRequest
from common.ipc.hook_messages import HookAnswer, HookNotice, HookQuestion, HookVerdict
from common.ipc.hook_questions import MARGIN_S, NO_ANSWER
from common.ipc.identity import ChildId, StreamId
from tests.kit.hook_events import HOOKS
from tests.kit.ingest_ports import header, picture
from tests.kit.registry_rig import FakeConnection, RegistryRig

YES, NO = HookVerdict(True), HookVerdict(False, "pay first")
DENIED, FAILED = "NetStream.Publish.Denied", "NetStream.Failed"


class HookedRig(RegistryRig):
    """All streams of an ingest whose app has a hook."""

    def __init__(self, takeover: Takeover = Takeover.IDLE, **hooks: Any) -> None:
        super().__init__(takeover, max_publishes_per_address=2)
        self.template = replace(self.template, hooks=replace(HOOKS, **hooks))
        self.configure(self.template)

    def configure(self, template: Any) -> None:
        self.template = template
        self.settings = replace(self.settings, templates=(template,))
        self.streams.settings = self.settings

    def answer(self, verdict: HookVerdict = YES, number: int = 0, now: float = 100.0) -> None:
        request_id = number or self.last(HookQuestion).request_id
        message = HookAnswer(ChildId("ingest"), request_id, verdict)
        self.from_supervisor.hook_answered(message, now)

    @property
    def held(self) -> dict[str, tuple[int, int]]:
        return self.admission.address_usage()


def test_the_hook_is_asked_before_anything_is_taken() -> None:
    around = HookedRig()
    peer = around.publish("live/cam?user=a&token=x&key=k")
    asked = around.last(HookQuestion)
    assert (asked.event, asked.subject.stream) == (HookEvent.ON_PUBLISH, "live/cam")
    assert asked.subject.query == {"user": "a", "key": "k"}, "no rule has tfarm check a key"
    assert asked.subject.address == peer.peer
    assert around.held == {}
    assert not around.count(PublishRequest)
    around.answer()
    assert around.last(PublishRequest).stream_id == "live/cam"
    assert around.held == {"203.0.113.7": (0, 1)}


def test_keys_that_tfarm_checks_are_not_passed_on_and_a_wrong_one_asks_nobody() -> None:
    around = HookedRig()
    around.configure(replace(around.template, publish_keys=(digest_of("sesame"),)))
    assert around.publish("live/cam?key=wrong").told[0][0] == DENIED
    assert not around.count(HookQuestion)
    around.publish("live/cam?key=sesame&x=1")
    assert around.last(HookQuestion).subject.query == {"x": "1"}


def test_a_hook_that_says_no_is_said_in_its_words() -> None:
    around = HookedRig()
    peer = around.publish()
    around.answer(NO)
    assert peer.told == [(DENIED, "pay first")]
    assert around.held == {}


@pytest.mark.parametrize("is_late", [False, True])
def test_without_an_answer_on_error_says_what_holds(is_late: bool) -> None:
    for on_error in OnError:
        around = HookedRig(on_error=on_error)
        peer = around.publish()
        if is_late:
            around.streams.tick(100.0 + HOOKS.deadline_s)
            assert not peer.told
            around.streams.tick(100.0 + HOOKS.deadline_s + MARGIN_S)
        else:
            around.answer(HookVerdict(None, detail="it hangs"))
        if on_error is OnError.DENY:
            assert peer.told == [(FAILED, NO_ANSWER)]
        else:
            assert around.count(PublishRequest) == 1
        around.answer(YES, 1)
        assert around.count(PublishRequest) == int(on_error is OnError.ALLOW), "it came too late"


def test_who_leaves_while_it_waits_holds_nothing_and_its_answer_does_nothing() -> None:
    around = HookedRig()
    peer = around.publish()
    around.streams.lost(peer, "connection reset", 100.5)
    around.answer()
    assert not around.count(PublishRequest)
    assert around.held == {}
    stopped = around.publish()
    around.streams.ended(stopped, "deleteStream")
    around.answer()
    assert not around.count(PublishRequest)


def test_while_one_waits_for_a_hook_another_may_have_the_stream() -> None:
    around = HookedRig()
    first, second = around.publish(), around.publish()
    around.answer(number=2)
    around.place()
    assert second.accepted
    around.answer(number=1)
    assert first.told[0][0] == "NetStream.Publish.BadName"


def test_an_answer_may_rename_the_stream_and_the_new_name_is_checked() -> None:
    around = HookedRig()
    around.publish("live/secret")
    around.answer(HookVerdict(True, key="cam7"))
    assert around.last(PublishRequest).stream_id == "live/cam7"
    around.streams.bans.replace([Ban(stream="live/cam8")])
    banned = around.publish("live/other", peer=FakeConnection("203.0.113.8", "203.0.113.8:1"))
    around.answer(HookVerdict(True, key="cam8"))
    assert "banned" in banned.told[0][1]


def test_an_answer_may_name_a_template_limits_and_play_keys() -> None:
    around = HookedRig()
    around.publish()
    limits = StreamLimits(fps=30)
    around.answer(HookVerdict(True, template="tv", limits=limits, play_keys=("d",)))
    asked = around.last(PublishRequest)
    assert asked.overrides == StreamOverrides("tv", limits, ("d",))
    around.place()
    (status,) = around.streams.statuses(100.0)
    assert status.overrides == asked.overrides, "a new supervisor learns it"


def test_who_goes_on_with_a_stream_brings_its_play_keys_and_keeps_the_ladder() -> None:
    around = HookedRig()
    peer = around.publish()
    around.answer(HookVerdict(True, template="tv", play_keys=("a",)))
    around.place()
    around.media(peer, [header(), picture(0, key=True)], 100.0)
    around.streams.lost(peer, "reset", 101.0)
    around.publish(now=102.0)
    around.answer(HookVerdict(True, play_keys=("b",)), now=102.0)
    (stream, _) = around.streams.all()[0]
    assert stream.overrides == StreamOverrides("tv", None, ("b",))


def test_only_the_same_owner_takes_over_where_the_hook_says_who_it_is() -> None:
    around = HookedRig(Takeover.ALWAYS)
    around.publish()
    around.answer(HookVerdict(True, owner="a"))
    around.place()
    other = around.publish(now=101.0)
    around.answer(HookVerdict(True, owner="b"), now=101.0)
    assert other.told[0][0] == "NetStream.Publish.BadName"
    same = around.publish(now=102.0)
    around.answer(HookVerdict(True, owner="a"), now=102.0)
    around.place(102.0)
    assert same.accepted


def test_the_end_of_a_session_is_told_once_with_its_name_and_what_it_brought() -> None:
    around = HookedRig()
    peer = around.publish("live/secret")
    session = around.last(HookQuestion).subject.session
    around.answer(HookVerdict(True, key="cam7"))
    around.place()
    peer.received_bytes = 5_000
    around.streams.lost(peer, "connection reset", 112.5)
    told = around.last(HookNotice)
    assert around.count(HookNotice) == 1
    assert (told.event, told.bytes, told.reason) == (
        HookEvent.ON_UNPUBLISH,
        5_000,
        "connection reset",
    )
    assert (told.subject.session, told.subject.key) == (session, "cam7")
    assert told.subject.query == {}
    assert len(around.streams.entrance.sessions) == 0


def test_who_was_refused_for_room_has_no_session() -> None:
    around = HookedRig()
    peer = around.publish()
    around.answer()
    around.streams.lost(peer, "left", 101.0)
    assert not around.count(HookNotice)
    assert len(around.streams.entrance.sessions) == 0


def test_at_the_end_who_waits_is_told() -> None:
    around = HookedRig()
    peer = around.publish()
    around.streams.close("the server is stopping", 101.0)
    assert peer.told == [(FAILED, "the server is stopping")]


def test_a_name_that_only_a_hook_judges_may_be_a_credential() -> None:
    around = HookedRig()
    around.publish("live/secret")
    around.answer(NO)
    (refused,) = around.streams.log.refusals.entries()
    assert refused.name == ""
    assert refused.cause == "hook-denied"
    assert "secret" not in refused.stream
    assert StreamId("live/secret") not in refused.words

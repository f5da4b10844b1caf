"""Who is let in, waits or is refused, whatever they watch by."""

from dataclasses import replace

import pytest

from common.access.bans import Ban
from common.access.refusal import Refusal, RefusalReason
from common.config.limits import StreamLimits
from common.config.overrides import StreamOverrides
from common.ipc.hook_messages import HookQuestion, HookVerdict
from tests.kit.egress import STREAM, TEMPLATE
from tests.kit.entrance_rig import MOST, EntranceRig, Guest
from tests.kit.hook_events import HOOKS


def test_what_is_there_is_given_at_once_and_counted() -> None:
    rig = EntranceRig()
    rig.open()
    assert rig.ask().got == "360p gop"
    assert rig.ask(start="live").got == "360p live"
    assert rig.entrance.counters == {"played": 2, "refused": 0}
    assert len(rig.entrance) == 2


def test_who_does_not_say_that_it_takes_a_codec_is_told_what_to_play_instead() -> None:
    rig = EntranceRig()
    early = rig.ask()
    rig.open(codec="h265")
    for guest in (early, rig.ask()):
        assert guest.refusal is not None
        assert guest.refusal.reason is RefusalReason.UNSUPPORTED
        assert guest.why.startswith("this is HEVC video")
        assert "-rtmp_enhanced_codecs" in guest.why
        assert "play 720p, 360p" in guest.why
    knows = Guest()
    knows.takes = frozenset({"h265"})
    assert rig.ask(knows).got == "360p gop"


def test_who_comes_before_the_stream_is_let_in_when_it_begins() -> None:
    rig = EntranceRig()
    guest = rig.ask()
    assert (guest.got, guest.refusal, guest.is_asking) == ("", None, True)
    assert rig.demanded == [STREAM]
    rig.open()
    assert guest.got == "360p gop"
    assert not rig.waiting


def test_who_has_waited_long_enough_is_told_why() -> None:
    rig = EntranceRig()
    guest = rig.ask()
    guest.time_out()
    assert "nobody publishes this stream" in guest.why
    rig.entrance.ended(guest, "refused")
    assert not rig.waiting


def test_among_several_egresses_a_stream_that_is_not_here_is_asked_for_once() -> None:
    rig = EntranceRig(processes=2)
    rig.ask()
    rig.ask(Guest("192.0.2.2"))
    assert rig.requested == [(STREAM, ("360p",))]


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        ("stopping", RefusalReason.UNAVAILABLE, "stopping"),
        ("banned", RefusalReason.BANNED, ""),
        ("full", RefusalReason.FULL, f"all the {MOST} players"),
        ("address", RefusalReason.DENIED, "1 players are here from this address"),
        ("key", RefusalReason.DENIED, ""),
        ("rendition", RefusalReason.NOT_FOUND, "there is no rendition 99p"),
    ],
)
def test_who_is_kept_out_is_told_why(change: str, reason: RefusalReason, words: str) -> None:
    template = replace(TEMPLATE, play_keys=("0" * 64,)) if change == "key" else TEMPLATE
    rig = EntranceRig(template, **({"max_players_per_address": 1} if change == "address" else {}))
    rig.open()
    match change:
        case "stopping":
            rig.entrance.is_stopping = True
        case "banned":
            rig.bans.replace((Ban(network="192.0.2.0/24"),))
        case "full":
            for number in range(MOST):
                rig.ask(Guest(f"198.51.100.{number}"))
        case "address":
            rig.ask()
        case _:
            pass
    guest = rig.ask(rendition="99p" if change == "rendition" else "360p")
    assert guest.refusal is not None
    assert (guest.refusal.reason, words in guest.why) == (reason, True), guest.why
    assert rig.entrance.counters["refused"] == 1
    assert rig.context.refusals.take()


def test_an_address_that_can_be_nothing_is_refused_as_its_protocol_found_it() -> None:
    rig = EntranceRig()
    guest = Guest()
    rig.entrance.arrived(guest)
    rig.entrance.ask(guest, Refusal(RefusalReason.NOT_FOUND, "the address names no app"))
    assert guest.why == "the address names no app"


def test_a_streams_limit_counts_those_of_every_protocol_and_not_who_left() -> None:
    rig = EntranceRig()
    rig.open(StreamOverrides(limits=StreamLimits(players=2)))
    first = rig.ask(Guest("192.0.2.1", "rtmp"))
    rig.ask(Guest("192.0.2.2", "http-flv"))
    third = Guest("192.0.2.3", "hls")
    assert "the 2 players that it takes" in rig.ask(third).why
    rig.entrance.left(third)
    rig.entrance.ended(first, "it left")
    rig.entrance.left(first)
    assert rig.ask(Guest("192.0.2.4", "hls")).got == "360p gop"


def test_an_apps_limit_likewise() -> None:
    rig = EntranceRig(replace(TEMPLATE, limits=StreamLimits(players=1)))
    rig.open()
    rig.ask()
    assert "max_players" in rig.ask(Guest("192.0.2.2")).why


def test_those_who_are_banned_by_now_are_ended() -> None:
    rig = EntranceRig()
    rig.open()
    guest, other = rig.ask(), rig.ask(Guest("198.51.100.1"))
    rig.entrance.check()
    assert not guest.ended
    rig.bans.replace((Ban(network="192.0.2.0/24"),))
    rig.entrance.check()
    assert guest.ended
    assert not other.ended


@pytest.mark.parametrize("is_let_in", [True, False])
def test_a_hook_decides_before_anything_is_held(is_let_in: bool) -> None:
    rig = EntranceRig(replace(TEMPLATE, hooks=HOOKS, play_rules=()))
    rig.open()
    guest = rig.ask(Guest(protocol="hls"))
    (question,) = [sent for sent in rig.sent if isinstance(sent, HookQuestion)]
    assert question.subject.protocol == "hls"
    assert (guest.wanted, guest.got) == (None, "")
    rig.hooks.answered(question.request_id, HookVerdict(is_let_in))
    assert bool(guest.got) == is_let_in
    assert (guest.refusal is None) == is_let_in

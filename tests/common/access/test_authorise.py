"""common/access/authorise.py: the table of rules, and what one is told who fulfils none."""

from dataclasses import replace
from ipaddress import ip_network
from itertools import product

import pytest

from common.access.authorise import (
    HOOK,
    SIGNED,
    Admitted,
    Shown,
    authorise_play,
    authorise_publish,
    is_key_a_name,
    play_rules,
    publish_entry_names,
    publish_rules,
    used_before,
)
from common.access.credentials import credentials, may_succeed
from common.access.keys import OWN, digest_of
from common.access.refusal import Cause, Refusal, RefusalReason
from common.access.signed_url import Direction, Grant, sign
from common.config.access import EVERYBODY, Rules, Signing, Way
from common.config.hooks import HookEvent, Hooks
from common.config.ladder import Template
from common.config.stream_keys import StreamKeys

NOW = 1_800_000_000.0
SECRET = "0123456789abcdef"
HOST = "203.0.113.7"
SIGNING = Signing((("k1", SECRET),), 30.0)
OPEN = Template("live", ())
BOTH = replace(
    OPEN,
    publish_keys=(digest_of("in"),),
    play_keys=(digest_of("out"),),
    signing=SIGNING,
)
GRANT = Grant("k1", int(NOW) + 60)
KEY, URL = (Way.KEY,), (Way.SIGNED,)


def token_of(direction: Direction, grant: Grant = GRANT, key: str = "cam1") -> str:
    return sign(SECRET, direction, "live", key, grant)


GOOD = {direction: token_of(direction) for direction in Direction}
KEYS = {Direction.PUBLISH: "in", Direction.PLAY: "out"}


def asked(
    direction: Direction,
    template: Template,
    key: str | None = None,
    token: str | None = None,
    own: StreamKeys | None = None,
) -> Admitted | Refusal:
    shown = Shown(HOST, key, token)
    if direction is Direction.PUBLISH:
        return authorise_publish(template, own, "cam1", shown, NOW)
    return authorise_play(template, own, "cam1", "720p", shown, NOW)


# What lets in, by rules: of (good key, good token) each combination that is shown.
RULES: list[tuple[Rules, set[tuple[bool, bool]]]] = [
    ((), {(True, False), (False, True), (True, True)}),
    ((KEY,), {(True, False), (True, True)}),
    ((URL,), {(False, True), (True, True)}),
    ((KEY, URL), {(True, False), (False, True), (True, True)}),
    (((Way.KEY, Way.SIGNED),), {(True, True)}),
    (((Way.KEY, Way.SIGNED), URL), {(False, True), (True, True)}),
    (EVERYBODY, {(False, False), (True, False), (False, True), (True, True)}),
]


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize(("rules", "let_in"), RULES)
def test_one_rule_is_enough_and_all_ways_of_it_are_needed(
    direction: Direction, rules: Rules, let_in: set[tuple[bool, bool]]
) -> None:
    template = replace(BOTH, publish_rules=rules, play_rules=rules)
    for has_key, has_token in product((True, False), repeat=2):
        key = KEYS[direction] if has_key else None
        token = GOOD[direction] if has_token else None
        found = asked(direction, template, key, token)
        assert isinstance(found, Admitted) == ((has_key, has_token) in let_in)
        if isinstance(found, Refusal):
            assert found.reason is RefusalReason.DENIED


@pytest.mark.parametrize("direction", Direction)
def test_what_is_wrong_with_what_is_shown_is_said_before_what_is_missing(
    direction: Direction,
) -> None:
    found = asked(direction, BOTH, token=f"{GOOD[direction][:-1]}_")
    assert isinstance(found, Refusal)
    assert (found.cause, found.is_wrong_key) == (Cause.FORGED, True)
    found = asked(direction, BOTH, key="x")
    assert isinstance(found, Refusal)
    assert (found.cause, found.is_wrong_key) == (Cause.WRONG_KEY, True)
    found = asked(direction, BOTH)
    assert isinstance(found, Refusal)
    assert not found.is_wrong_key
    assert found.words == "a key (?key=...) or a signed URL (?token=...) is needed"


@pytest.mark.parametrize(
    ("template", "words", "cause"),
    [
        (
            replace(OPEN, signing=SIGNING),
            "the URL is not signed: live asks for ?token=...",
            Cause.NOT_SIGNED,
        ),
        (
            replace(OPEN, publish_keys=(digest_of("in"),)),
            "the publish key (?key=...) of live is missing",
            Cause.NO_KEY,
        ),
        (
            replace(OPEN, needs_stream_key=True),
            "live takes only streams that have a publish key, and this one has none",
            Cause.NO_KEY,
        ),
        (
            replace(BOTH, publish_rules=((Way.KEY, Way.SIGNED),)),
            "the publish key (?key=...) of live is missing",
            Cause.NO_KEY,
        ),
    ],
)
def test_who_shows_nothing_is_told_what_is_asked_for(
    template: Template, words: str, cause: Cause
) -> None:
    found = asked(Direction.PUBLISH, template)
    assert found == Refusal(RefusalReason.DENIED, words, cause=cause)


@pytest.mark.parametrize(
    ("token", "words", "cause"),
    [
        (GOOD[Direction.PLAY][:20], "cut off", Cause.FORGED),
        (token_of(Direction.PLAY, key="cam2"), "another stream", Cause.FORGED),
        (GOOD[Direction.PUBLISH], "not signed for playing", Cause.OTHER_SCOPE),
        (token_of(Direction.PLAY, replace(GRANT, expiry_unix=1)), "expired", Cause.EXPIRED),
        (
            token_of(Direction.PLAY, replace(GRANT, network=ip_network("192.0.2.0/24"))),
            f"not for the address {HOST}",
            Cause.OTHER_SCOPE,
        ),
        (
            token_of(Direction.PLAY, replace(GRANT, renditions=("360p",))),
            "not for the rendition 720p",
            Cause.OTHER_SCOPE,
        ),
        (sign(SECRET, Direction.PLAY, "live", "cam1", Grant("k9", 2**31)), "key", Cause.FORGED),
    ],
)
def test_each_fault_of_a_token_has_its_words_and_only_forgery_counts_as_guessing(
    token: str, words: str, cause: Cause
) -> None:
    found = asked(Direction.PLAY, BOTH, token=token)
    assert isinstance(found, Refusal)
    assert words in found.words
    assert (found.cause, found.is_wrong_key) == (cause, cause is Cause.FORGED)
    assert token not in found.for_log


def test_a_token_is_no_key_and_a_key_no_token() -> None:
    assert isinstance(asked(Direction.PLAY, BOTH, key=GOOD[Direction.PLAY]), Refusal)
    assert isinstance(asked(Direction.PLAY, BOTH, token="out"), Refusal)


def test_a_token_that_no_rule_asks_for_does_no_harm() -> None:
    keyed = replace(BOTH, signing=Signing(), play_rules=())
    assert asked(Direction.PLAY, keyed, "out", "nonsense") == Admitted(OWN)
    assert asked(Direction.PLAY, OPEN, token="nonsense") == Admitted()


def test_a_streams_own_keys_stand_in_place_of_the_apps_and_a_signature_beside_them() -> None:
    own = StreamKeys(publish=(digest_of("mine"),), play=(digest_of("watch"),))
    assert asked(Direction.PUBLISH, BOTH, "mine", own=own) == Admitted(OWN)
    assert isinstance(asked(Direction.PUBLISH, BOTH, "in", own=own), Refusal)
    found = asked(Direction.PUBLISH, BOTH, token=GOOD[Direction.PUBLISH], own=own)
    assert found == Admitted(SIGNED, GRANT)
    assert isinstance(asked(Direction.PLAY, BOTH, "out", own=own), Refusal)
    assert asked(Direction.PLAY, BOTH, "watch", own=own) == Admitted(OWN)


def test_a_rule_that_needs_a_key_closes_streams_without_any() -> None:
    """`play_keys` are there for other streams alone."""
    template = replace(OPEN, play_rules=(KEY,))
    assert isinstance(asked(Direction.PLAY, template, "x"), Refusal)
    assert isinstance(asked(Direction.PUBLISH, replace(OPEN, publish_rules=(KEY,))), Refusal)


def test_who_has_another_url_for_the_same_stream_may_go_on_with_it() -> None:
    later = token_of(Direction.PUBLISH, replace(GRANT, expiry_unix=GRANT.expiry_unix + 9))
    owner, newcomer = (
        asked(Direction.PUBLISH, BOTH, token=token) for token in (GOOD[Direction.PUBLISH], later)
    )
    by_key = asked(Direction.PUBLISH, BOTH, key="in")
    assert isinstance(owner, Admitted)
    assert isinstance(newcomer, Admitted)
    assert isinstance(by_key, Admitted)
    entries = publish_entry_names(BOTH, None)
    first, second, third = (credentials(HOST, one.entry) for one in (owner, newcomer, by_key))
    assert may_succeed(first, second, entries)
    assert not may_succeed(first, third, entries)
    unsigned = replace(BOTH, signing=Signing())
    assert may_succeed(first, third, publish_entry_names(unsigned, None)), "no claim any more"


@pytest.mark.parametrize(
    ("template", "names", "is_name"),
    [
        (OPEN, {""}, False),
        (BOTH, {digest_of("in")[:16], SIGNED}, True),
        (replace(BOTH, publish_rules=((Way.KEY, Way.SIGNED),)), {digest_of("in")[:16]}, True),
        (replace(OPEN, signing=SIGNING), {SIGNED}, True),
        (replace(OPEN, needs_stream_key=True), set(), True),
        (BOTH.without_access(), {SIGNED}, True),
    ],
)
def test_entries_are_those_of_the_rules(template: Template, names: set[str], is_name: bool) -> None:
    assert set(publish_entry_names(template, None)) == names
    assert is_key_a_name(template, None) == is_name


def test_who_lets_nobody_in_is_told_no_keys_and_is_closed() -> None:
    closed = BOTH.without_access()
    assert (closed.publish_keys, closed.play_keys, closed.signing) == ((), (), Signing())
    for direction in Direction:
        for key, token in product((None, KEYS[direction]), (None, GOOD[direction])):
            assert isinstance(asked(direction, closed, key, token), Refusal)
    assert publish_rules(closed) == play_rules(closed) != EVERYBODY


def test_a_url_for_one_use_has_a_name_of_its_use_by_direction_and_stream() -> None:
    once = replace(GRANT, once="abcdefgh")
    found = asked(Direction.PLAY, BOTH, token=token_of(Direction.PLAY, once))
    assert isinstance(found, Admitted)
    name, until_unix = found.single_use(Direction.PLAY, "live/cam1", SIGNING)
    assert until_unix == GRANT.expiry_unix + 30
    others = {
        found.single_use(Direction.PUBLISH, "live/cam1", SIGNING)[0],
        found.single_use(Direction.PLAY, "live/cam2", SIGNING)[0],
    }
    assert name
    assert len(others | {name}) == 3
    assert Admitted(SIGNED, GRANT).single_use(Direction.PLAY, "live/cam1", SIGNING) == ("", 0.0)
    assert used_before().cause is Cause.USED


def test_no_credential_stands_in_a_repr() -> None:
    assert "sesame" not in repr(Shown(HOST, "sesame", "sesame"))


HOOKED = replace(BOTH, hooks=Hooks(url="http://127.0.0.1:1/", secret=SECRET))


@pytest.mark.parametrize("direction", Direction)
def test_a_hook_is_asked_about_those_alone_who_fulfil_the_rest(direction: Direction) -> None:
    assert isinstance(asked(direction, HOOKED), Refusal)
    found = asked(direction, HOOKED, key=KEYS[direction])
    assert isinstance(found, Admitted)
    assert found.needs_hook
    assert found.entry not in ("", HOOK)
    alone = asked(direction, replace(HOOKED, publish_keys=(), play_keys=(), signing=Signing()))
    assert alone == Admitted(HOOK, needs_hook=True)


def test_who_fulfils_a_rule_without_the_hook_is_not_asked_about() -> None:
    rules: Rules = ((Way.KEY, Way.HOOK), (Way.SIGNED,))
    template = replace(HOOKED, play_rules=rules)
    by_key = asked(Direction.PLAY, template, "out")
    by_both = asked(Direction.PLAY, template, "out", GOOD[Direction.PLAY])
    assert isinstance(by_key, Admitted)
    assert by_key.needs_hook
    assert by_both == Admitted(SIGNED, GRANT)


def test_only_the_events_of_the_hook_are_asked() -> None:
    template = replace(OPEN, hooks=replace(HOOKED.hooks, events=(HookEvent.ON_STOP,)))
    assert asked(Direction.PLAY, template) == Admitted()


def test_where_a_hook_alone_decides_the_streams_key_may_be_the_credential() -> None:
    template = replace(OPEN, hooks=HOOKED.hooks)
    assert not is_key_a_name(template, None)
    assert set(publish_entry_names(template, None)) == {HOOK}

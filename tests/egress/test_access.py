"""egress/access.py: which play requests are granted."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from common.access.keys import digest_of
from common.access.refusal import Refusal, RefusalReason
from common.access.signed_url import Direction, Grant, sign
from common.config.access import Signing
from common.config.ladder import Rendition
from common.config.limits import StreamLimits
from common.config.overrides import NO_OVERRIDES, StreamOverrides
from common.config.settings import Settings
from common.config.stream_keys import StreamKeys
from common.media.units import VideoCodec
from egress.access import (
    PlayWanted,
    Viewer,
    Wish,
    hook_subject,
    judge,
    look_up,
    most_players,
    not_taken,
    not_there,
)
from egress.streams.stream import Stream
from egress.streams.subscribers import Start
from tests.kit.egress import STREAM, TEMPLATE, key_tag, rendition_open, stream_open, tags
from tests.kit.hook_events import HOOKS

VIEWER = Viewer("203.0.113.7", 1_800_000_000.0)
OPEN = Settings(templates=(TEMPLATE,))


def judged(
    settings: Settings,
    key: str,
    rendition: str | None,
    query: Mapping[str, str],
    viewer: Viewer,
    stream: Stream | None = None,
) -> PlayWanted | Refusal:
    return judge(settings, Wish("live", key, rendition or "", query), viewer, stream)


DIGESTS = tuple(hashlib.sha256(key).hexdigest() for key in (b"first", b"s3cret"))
KEYED = Settings(templates=(replace(TEMPLATE, play_keys=DIGESTS),))


@pytest.mark.parametrize(
    ("rendition", "query", "name", "start"),
    [
        (None, {}, "source", Start.GOP),
        ("source", {"start": "live"}, "source", Start.LIVE),
        ("720p", {"start": "gop"}, "720p", Start.GOP),
        ("360p", {"start": "x"}, "360p", Start.GOP),
    ],
)
def test_a_request_names_stream_rendition_and_start(
    rendition: str | None, query: dict[str, str], name: str, start: Start
) -> None:
    wanted = judged(OPEN, "cam1", rendition, query, VIEWER)
    assert wanted == PlayWanted(STREAM, name, start, TEMPLATE.wait_ms)


@pytest.mark.parametrize(
    "query", [{}, {"key": ""}, {"key": "S3cret"}, {"key": "first "}, {"token": "s3cret"}]
)
def test_a_wrong_or_missing_play_key_is_refused(query: dict[str, str]) -> None:
    refused = judged(KEYED, "cam1", "720p", query, VIEWER)
    assert isinstance(refused, Refusal)
    assert refused.reason is RefusalReason.DENIED
    assert "s3cret" not in refused.words.lower()


@pytest.mark.parametrize("key", ["first", "s3cret"])
def test_any_of_the_play_keys_opens(key: str) -> None:
    assert isinstance(judged(KEYED, "cam1", None, {"key": key}, VIEWER), PlayWanted)


def test_a_stream_with_a_play_key_of_its_own_is_played_with_that_alone() -> None:
    own = StreamKeys(play=(digest_of("mine"),))
    settings = replace(KEYED, stream_keys={STREAM: own})
    assert isinstance(judged(settings, "cam1", None, {"key": "mine"}, VIEWER), PlayWanted)
    assert isinstance(judged(settings, "cam1", None, {"key": "first"}, VIEWER), Refusal)
    assert isinstance(judged(settings, "cam2", None, {"key": "first"}, VIEWER), PlayWanted)
    assert isinstance(judged(settings, "cam2", None, {"key": "mine"}, VIEWER), Refusal)


def test_a_request_waits_until_its_rendition_has_a_keyframe() -> None:
    wanted = judged(OPEN, "cam1", "720p", {}, VIEWER)
    assert isinstance(wanted, PlayWanted)
    assert look_up(None, wanted) is False
    stream = Stream(stream_open(), 0.0)
    assert look_up(stream, wanted) is False
    stream.take(*rendition_open("720p"), 0.0)
    stream.take(*tags(0, key_tag(0), rendition="720p"), 0.0)
    assert look_up(stream, wanted) is True


def test_a_rendition_that_this_stream_has_not_is_refused_by_name() -> None:
    wanted = judged(OPEN, "cam1", "720p", {}, VIEWER)
    assert isinstance(wanted, PlayWanted)
    refused = look_up(Stream(stream_open(renditions=("360p",)), 0.0), wanted)
    assert isinstance(refused, Refusal)
    assert refused.reason is RefusalReason.NOT_FOUND
    assert "no 720p" in refused.words
    assert "360p, source" in refused.words


def test_a_stream_that_is_passed_on_as_it_comes_says_so() -> None:
    """It has nothing to do with the size of its source: its worker is too busy, or has none."""
    wanted = judged(OPEN, "cam1", "720p", {}, VIEWER)
    assert isinstance(wanted, PlayWanted)
    refused = look_up(Stream(stream_open(renditions=()), 0.0), wanted)
    assert isinstance(refused, Refusal)
    assert refused.words.startswith("this stream has no 720p now: it is passed on as it comes")
    assert "larger" not in refused.words


def test_after_the_wait_the_reason_is_told() -> None:
    wanted = judged(OPEN, "cam1", "720p", {}, VIEWER)
    assert isinstance(wanted, PlayWanted)
    # egress hears of a stream with its first video: it may be that only sound is published
    assert not_there(None, wanted).words == "nobody publishes this stream, or it has no video"
    assert "no picture" in not_there(Stream(stream_open(), 0.0), wanted).words


@pytest.mark.parametrize(
    ("by_hook", "by_operator", "most"),
    [
        (None, None, 0),
        (None, 5, 5),
        (20, 5, 20),
        (3, None, 3),
        (0, 5, 5),  # the hook has said other limits
        (0, None, 0),
    ],
)
def test_a_streams_own_number_of_players_is_its_hooks_or_else_its_operators(
    by_hook: int | None, by_operator: int | None, most: int
) -> None:
    settings, overrides = OPEN, NO_OVERRIDES
    if by_operator is not None:
        own = StreamKeys(limits=StreamLimits(players=by_operator))
        settings = replace(OPEN, stream_keys={STREAM: own})
    if by_hook is not None:
        overrides = StreamOverrides(limits=StreamLimits(players=by_hook))
    assert most_players(settings, STREAM, Stream(stream_open(overrides=overrides), 0.0)) == most
    assert most_players(settings, STREAM, None) == (by_operator or 0)


SIGNING = Signing((("k1", "0123456789abcdef"),))
SIGNED = Settings(templates=(replace(TEMPLATE, signing=SIGNING),))


def query_of(**scope: Any) -> dict[str, str]:
    grant = Grant("k1", int(VIEWER.now_unix) + 60, **scope)
    return {"token": sign("0123456789abcdef", Direction.PLAY, "live", "cam1", grant)}


def test_a_signed_url_plays_the_renditions_that_it_names() -> None:
    query = query_of(renditions=("720p", "source"))
    for rendition in ("720p", None, "source"):
        assert isinstance(judged(SIGNED, "cam1", rendition, query, VIEWER), PlayWanted)
    refused = judged(SIGNED, "cam1", "360p", query, VIEWER)
    assert isinstance(refused, Refusal)
    assert refused.words == "the URL is not for the rendition 360p"


def test_a_signed_url_is_good_for_its_time_and_its_network() -> None:
    late = replace(VIEWER, now_unix=VIEWER.now_unix + 91)
    query = query_of(network=ip_network("203.0.113.0/24"))
    assert isinstance(judged(SIGNED, "cam1", None, query, VIEWER), PlayWanted)
    for viewer in (late, replace(VIEWER, host="192.0.2.1")):
        assert isinstance(judged(SIGNED, "cam1", None, query, viewer), Refusal)


def test_a_url_for_one_use_has_a_name_of_it_and_another_has_none() -> None:
    wanted = judged(SIGNED, "cam1", None, query_of(once="abcdefgh"), VIEWER)
    assert isinstance(wanted, PlayWanted)
    assert wanted.until_unix == VIEWER.now_unix + 90
    assert wanted.use.startswith("play live/cam1 ")
    assert "cam1" not in repr(wanted)
    again = judged(SIGNED, "cam1", None, query_of(), VIEWER)
    assert isinstance(again, PlayWanted)
    assert again.use == ""


HOOKED = Settings(templates=(replace(TEMPLATE, hooks=HOOKS), replace(TEMPLATE, name="tv")))


def test_a_streams_keys_from_its_hook_stand_in_place_of_the_apps() -> None:
    overrides = StreamOverrides(play_keys=(digest_of("mine"),))
    stream = Stream(replace(stream_open(), overrides=overrides), 0.0)
    wanted = judged(KEYED, "cam1", None, {"key": "mine"}, VIEWER, stream)
    assert isinstance(wanted, PlayWanted)
    assert wanted.play_keys == overrides.play_keys
    assert isinstance(judged(KEYED, "cam1", None, {"key": "first"}, VIEWER, stream), Refusal)
    assert isinstance(judged(OPEN, "cam1", None, {}, VIEWER, stream), Refusal)
    stream.open(replace(stream_open(), overrides=NO_OVERRIDES), 1.0)
    assert isinstance(judged(KEYED, "cam1", None, {"key": "first"}, VIEWER, stream), PlayWanted)


def test_a_rendition_is_looked_for_in_the_ladder_that_a_hook_named() -> None:
    other = replace(TEMPLATE.renditions[0], name="1080p")
    tv = replace(TEMPLATE, name="tv", renditions=(other,))
    settings = replace(HOOKED, templates=(HOOKED.templates[0], tv))
    opened = replace(stream_open(), overrides=StreamOverrides("tv"), template=tv)
    stream = Stream(opened, 0.0)
    assert isinstance(judged(settings, "cam1", "1080p", {}, VIEWER, stream), PlayWanted)
    assert isinstance(judged(settings, "cam1", "720p", {}, VIEWER, stream), Refusal)
    # before it is there nobody knows
    wanted = judged(settings, "cam1", "1080p", {}, VIEWER)
    assert isinstance(wanted, PlayWanted)
    assert wanted.needs_hook
    found = look_up(Stream(stream_open(), 0.0), wanted)
    assert isinstance(found, Refusal)
    assert found.words.startswith("there is no rendition 1080p; there are 720p")


def test_a_hook_is_told_the_query_without_keys_that_tfarm_checks() -> None:
    wish = Wish("live", "cam1", "", {"user": "a", "key": "b", "token": "c", "start": "live"})
    subject = hook_subject(HOOKED, wish, "203.0.113.7:5", "rtmp")
    assert (subject.stream, subject.rendition) == ("live/cam1", "source")
    assert subject.query == {"user": "a", "key": "b", "start": "live"}
    keyed = replace(HOOKED.templates[0], play_keys=DIGESTS)
    checked = hook_subject(Settings(templates=(keyed,)), wish, "203.0.113.7:5", "rtmp")
    assert checked.query == {"user": "a", "start": "live"}
    assert subject.session != checked.session


def test_who_does_not_take_a_codec_is_told_the_renditions_that_everybody_takes() -> None:
    hevc = Rendition("hevc", 1920, 1080, 4_000_000, codec=VideoCodec.H265)
    web = Rendition("web", 1280, 720, 2_000_000, codec=VideoCodec.AV1)
    mixed = replace(TEMPLATE, renditions=(hevc, web, *TEMPLATE.renditions))
    message = replace(stream_open(renditions=("hevc", "web", "360p")), template=mixed)
    refusal = not_taken("av1", Stream(message, 0.0))
    assert refusal.reason is RefusalReason.UNSUPPORTED
    assert "this is AV1 video" in refusal.words
    assert refusal.words.endswith(": play 360p")
    none = replace(message, renditions=())
    assert not_taken("h265", Stream(none, 0.0)).words.endswith("nothing of it is transcoded")

"""egress/rtmp/play_address.py: what the addresses of play requests ask for."""

import hashlib
from dataclasses import replace

import pytest

from common.access.refusal import Refusal, RefusalReason
from common.config.settings import Settings
from egress.access import PlayWanted, Viewer, judge
from egress.rtmp.play_address import wish_of
from egress.streams.subscribers import Start
from tests.kit.egress import STREAM, TEMPLATE

VIEWER = Viewer("203.0.113.7", 1_800_000_000.0)
OPEN = Settings(templates=(TEMPLATE,))
DIGESTS = tuple(hashlib.sha256(key).hexdigest() for key in (b"first", b"s3cret"))
KEYED = Settings(templates=(replace(TEMPLATE, play_keys=DIGESTS),))


def judged(settings: Settings, app: str, name: str) -> PlayWanted | Refusal:
    wish = wish_of(app, "", name)
    return wish if isinstance(wish, Refusal) else judge(settings, wish, VIEWER)


@pytest.mark.parametrize(
    ("app", "name", "rendition", "start"),
    [
        ("live", "cam1", "source", Start.GOP),
        ("live", "cam1/source", "source", Start.GOP),
        ("live", "cam1/720p", "720p", Start.GOP),
        ("live/cam1", "360p?start=live", "360p", Start.LIVE),
        ("live?start=live", "cam1", "source", Start.LIVE),
        ("live", "cam1?start=gop", "source", Start.GOP),
    ],
)
def test_an_address_names_stream_rendition_and_start(
    app: str, name: str, rendition: str, start: Start
) -> None:
    assert judged(OPEN, app, name) == PlayWanted(STREAM, rendition, start, TEMPLATE.wait_ms)


@pytest.mark.parametrize(
    ("app", "name", "says"),
    [
        ("other", "cam1", "no app other"),
        ("live", "", "no stream key"),
        ("live", "cam1/720p/x", "parts"),
        ("live", "cam1/1080p", "720p, 360p, source"),
        ("live", "../etc", "letters"),
        ("live", "cam\x001", "letters"),
        ("li\x1bve", "cam1", "letters"),
        ("live", "cam1\r\nX: y", "letters"),
        ("live", "cam\u202e1", "letters"),
    ],
)
def test_what_is_not_there_is_refused_in_words(app: str, name: str, says: str) -> None:
    refused = judged(OPEN, app, name)
    assert isinstance(refused, Refusal)
    assert refused.reason is RefusalReason.NOT_FOUND
    assert says in refused.words


@pytest.mark.parametrize("query", ["", "?key=", "?key=S3cret", "?key=first%20", "?token=s3cret"])
def test_a_wrong_or_missing_play_key_is_refused(query: str) -> None:
    refused = judged(KEYED, "live", f"cam1/720p{query}")
    assert isinstance(refused, Refusal)
    assert refused.reason is RefusalReason.DENIED
    assert "s3cret" not in refused.words.lower()


@pytest.mark.parametrize("key", ["first", "s3cret"])
def test_any_of_the_play_keys_opens(key: str) -> None:
    assert isinstance(judged(KEYED, "live", f"cam1?key={key}"), PlayWanted)


def test_keys_stand_in_no_repr() -> None:
    assert "s3cret" not in repr(wish_of("live", "", "cam1?key=s3cret&token=s3cret"))
    assert "cam1" not in repr(wish_of("live", "", "cam1"))

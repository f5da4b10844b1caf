"""egress/rtmp/play_address.py: what the addresses of play requests ask for."""

import hashlib
from dataclasses import replace

import pytest

from common.access.refusal import Refusal, RefusalReason
from common.config.settings import Settings
from egress.access import PlayWanted, Viewer
from egress.rtmp.play_address import judge_address
from egress.streams.subscribers import Start
from tests.kit.egress import STREAM, TEMPLATE

VIEWER = Viewer("203.0.113.7", 1_800_000_000.0)
OPEN = Settings(templates=(TEMPLATE,))
DIGESTS = tuple(hashlib.sha256(key).hexdigest() for key in (b"first", b"s3cret"))
KEYED = Settings(templates=(replace(TEMPLATE, play_keys=DIGESTS),))


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
    wanted = judge_address(OPEN, app, "", name, VIEWER)
    assert wanted == PlayWanted(STREAM, rendition, start, TEMPLATE.wait_ms)


@pytest.mark.parametrize(
    ("app", "name", "says"),
    [
        ("other", "cam1", "no app other"),
        ("live", "", "no stream key"),
        ("live", "cam1/720p/x", "parts"),
        ("live", "cam1/1080p", "720p, 360p, source"),
        ("live", "../etc", "letters"),
    ],
)
def test_what_is_not_there_is_refused_in_words(app: str, name: str, says: str) -> None:
    refused = judge_address(OPEN, app, "", name, VIEWER)
    assert isinstance(refused, Refusal)
    assert refused.reason is RefusalReason.NOT_FOUND
    assert says in refused.words


@pytest.mark.parametrize("query", ["", "?key=", "?key=S3cret", "?key=first%20", "?token=s3cret"])
def test_a_wrong_or_missing_play_key_is_refused(query: str) -> None:
    refused = judge_address(KEYED, "live", "", f"cam1/720p{query}", VIEWER)
    assert isinstance(refused, Refusal)
    assert refused.reason is RefusalReason.DENIED
    assert "s3cret" not in refused.words.lower()


@pytest.mark.parametrize("key", ["first", "s3cret"])
def test_any_of_the_play_keys_opens(key: str) -> None:
    assert isinstance(judge_address(KEYED, "live", "", f"cam1?key={key}", VIEWER), PlayWanted)

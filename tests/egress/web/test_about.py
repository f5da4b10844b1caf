"""What the page is told: the renditions that are granted, by the rules for all viewers."""

from dataclasses import replace

import pytest

from common.access.keys import digest_of
from common.access.refusal import Refusal, RefusalReason
from common.access.signed_url import Direction, Grant, sign
from common.config.access import Signing
from common.config.settings import Settings
from egress.access import Viewer, Wish
from egress.streams.stream import Stream
from egress.web.about import about, granted, served_ways, smallest
from tests.kit.egress import TEMPLATE, stream_open

NOW = 1_800_000_000.0
VIEWER = Viewer("203.0.113.7", NOW)
OPEN = Settings(templates=(TEMPLATE,))
WISH = Wish("live", "cam1", "", {})
KEYED = Settings(templates=(replace(TEMPLATE, play_keys=(digest_of("s3cret"),)),))


@pytest.mark.parametrize(
    ("paths", "ways"),
    [
        ((), []),
        (("/{app}/{key}/{rendition}.flv",), ["flv"]),
        (("/{app}/{key}/{name}.flv", "/{app}/{key}/{rendition}/whep"), ["whep", "flv"]),
        (("/{app}/{key}/index.m3u8", "/play/{app}/{key}"), ["hls"]),
        (("/{app}/{key}/{rendition}/{part}.m4s", "/player/{version}/{name}"), []),
    ],
)
def test_the_ways_are_those_whose_addresses_are_served(
    paths: tuple[str, ...], ways: list[str]
) -> None:
    assert served_ways(paths, has_webrtc=True) == ways


def test_webrtc_is_a_way_only_while_its_process_runs() -> None:
    paths = ("/{app}/{key}/whep", "/{app}/{key}/{rendition}.flv")
    assert served_ways(paths, has_webrtc=False) == ["flv"]


def test_the_whole_ladder_is_granted_where_everybody_may() -> None:
    assert granted(OPEN, WISH, VIEWER) == ("720p", "360p", "source")


def test_a_rendition_that_is_left_out_of_this_stream_is_not_offered() -> None:
    stream = Stream(stream_open(renditions=("360p",)), 0.0)
    assert granted(OPEN, WISH, VIEWER, stream) == ("360p", "source")


def test_who_may_have_none_is_told_why() -> None:
    found = granted(KEYED, WISH, VIEWER)
    assert isinstance(found, Refusal)
    assert found.reason is RefusalReason.DENIED
    assert granted(KEYED, replace(WISH, query={"key": "s3cret"}), VIEWER) == (
        "720p",
        "360p",
        "source",
    )


def test_an_app_that_is_not_there_is_said() -> None:
    found = granted(OPEN, replace(WISH, app="other"), VIEWER)
    assert isinstance(found, Refusal)
    assert "no app other" in found.words


def test_a_url_that_is_signed_for_some_renditions_offers_these() -> None:
    signing = Signing((("k1", "0123456789abcdef"),))
    settings = Settings(templates=(replace(TEMPLATE, signing=signing),))
    grant = Grant("k1", int(NOW) + 60, renditions=("360p",))
    token = sign("0123456789abcdef", Direction.PLAY, "live", "cam1", grant)
    wish = replace(WISH, query={"token": token})
    assert granted(settings, wish, VIEWER) == ("360p",)


def test_the_document_has_sizes_and_the_servers_time() -> None:
    found = about(OPEN, WISH, ("360p", "source"), ["flv"], NOW)
    assert found == {
        "ways": ["flv"],
        "renditions": [
            {
                "name": "360p",
                "width": 640,
                "height": 360,
                "bitrate_bps": 600_000,
                "codec": "h264",
            },
            {"name": "source", "width": 0, "height": 0, "bitrate_bps": 0, "codec": ""},
        ],
        "now_ms": round(NOW * 1000),
    }


def test_the_smallest_rendition_is_the_one_that_is_sent_for() -> None:
    assert smallest(OPEN, WISH) == "360p"
    assert smallest(OPEN, replace(WISH, app="other")) == "source"

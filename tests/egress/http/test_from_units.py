"""egress/http/from_units.py: what of a rendition becomes pieces, and when a body cannot go on."""

import pytest

from common.codecs.aac import AudioSpecificConfig
from common.flv.audio import aac_sequence_header
from common.ipc.media_messages import HEADER
from egress.http.from_units import OTHER_TRACKS, Pieces
from egress.http.responses import content
from egress.streams.tag import AUDIO, DATA, VIDEO, Config, Tag
from tests.kit.egress import made_tag
from tests.kit.http_viewer import audio_header, picture_tag, sound_tag, video_header
from tests.kit.ingest_ports import SPS_720
from tests.kit.mp4_reader import Movie, read_movie


def header(kind: int, body: bytes) -> Tag:
    return made_tag(kind, 0, HEADER, body)


CONFIG = Config(video=header(VIDEO, video_header()), audio=header(AUDIO, audio_header()))
GOP = [picture_tag(0, key=True), sound_tag(0), picture_tag(40), sound_tag(21), picture_tag(80)]


def movie(pieces: Pieces, *batches: list[Tag]) -> Movie:
    made = [piece for batch in batches for piece in pieces.append(batch)]
    return read_movie(b"".join(bytes(content(w)) for p in made for w in (p.init, p.wire)))


def test_pictures_and_sound_are_tracks_of_one_movie() -> None:
    pieces = Pieces()
    pieces.configure(CONFIG)
    found = movie(pieces, GOP)
    assert pieces.codecs == ("avc1.640028", "mp4a.40.2")
    assert ([s.dts for s in found.of(1)], len(found.of(2))) == ([0, 40], 1)


@pytest.mark.parametrize(
    "audio",
    [
        None,
        header(AUDIO, b"\x2f" + bytes(4)),  # MP3: FLV's own form
    ],
)
def test_sound_that_mp4_does_not_take_is_left_out(audio: Tag | None) -> None:
    pieces = Pieces()
    pieces.configure(CONFIG._replace(audio=audio))
    found = movie(pieces, GOP)
    assert pieces.codecs == ("avc1.640028",)
    assert ([s.dts for s in found.of(1)], found.of(2)) == ([0, 40], [])


def test_sound_is_left_out_where_it_is_not_wanted() -> None:
    pieces = Pieces(has_sound=False)
    pieces.configure(CONFIG)
    assert movie(pieces, GOP).of(2) == []
    assert pieces.codecs == ("avc1.640028",)


def test_nothing_comes_without_a_configuration() -> None:
    pieces = Pieces()
    assert pieces.append(GOP) == []
    pieces.configure(Config())
    assert pieces.append(GOP) == []
    assert not pieces.problem


def test_another_size_brings_another_initialisation_segment_in_the_same_body() -> None:
    pieces = Pieces()
    pieces.configure(CONFIG)
    before = pieces.append(GOP)
    pieces.configure(CONFIG._replace(video=header(VIDEO, video_header(SPS_720))))
    after = pieces.append([picture_tag(120, key=True), picture_tag(160), picture_tag(200)])
    assert not pieces.problem
    assert pieces.codecs == ("avc1.64001f", "mp4a.40.2")
    assert [piece.init is before[0].init for piece in after] == [True, False]
    assert (after[0].pictures, after[1].is_key) == (1, True), "what was held comes first"


@pytest.mark.parametrize(
    ("what", "config"),
    [
        ("another script", CONFIG._replace(script=header(DATA, b"script"))),
        ("the same headers again", CONFIG._replace(video=header(VIDEO, video_header()))),
    ],
)
def test_the_same_configuration_changes_nothing(what: str, config: Config) -> None:
    pieces = Pieces()
    pieces.configure(CONFIG)
    (before,) = pieces.append(GOP)
    pieces.configure(config)
    (after,) = pieces.append([picture_tag(120), picture_tag(160)])
    assert after.init is before.init, what


@pytest.mark.parametrize(
    "audio",
    [
        None,
        header(AUDIO, aac_sequence_header(AudioSpecificConfig(2, 24_000, 1, 1, sbr=True).encode())),
    ],
)
def test_other_tracks_need_another_body(audio: Tag | None) -> None:
    pieces = Pieces()
    pieces.configure(CONFIG)
    pieces.append(GOP)
    pieces.configure(CONFIG._replace(audio=audio))
    left = pieces.append([picture_tag(120, key=True)])
    assert (pieces.problem, pieces.can_go_on) == (OTHER_TRACKS, True)
    assert sum(piece.pictures for piece in left) == 1
    assert pieces.append([picture_tag(160)]) == []


@pytest.mark.parametrize("body", [b"", b"\x17", b"\x17\0\0\0\0", b"\x17\0\0\0\0\1\x64\0"])
def test_a_header_that_cannot_be_read_ends_it_with_words(body: bytes) -> None:
    pieces = Pieces()
    pieces.configure(CONFIG._replace(video=header(VIDEO, body)))
    assert pieces.append(GOP) == []
    assert pieces.problem
    assert not pieces.can_go_on


def test_a_unit_that_cannot_be_read_is_left_out() -> None:
    pieces = Pieces()
    pieces.configure(CONFIG)
    broken = made_tag(VIDEO, 20, 0, b"\x27")
    found = movie(pieces, [GOP[0], broken, *GOP[1:]])
    assert [s.dts for s in found.of(1)] == [0, 40]
    assert pieces.unreadable == 1


def test_data_is_nothing_for_a_browser() -> None:
    pieces = Pieces()
    pieces.configure(CONFIG)
    assert [s.dts for s in movie(pieces, [*GOP, made_tag(DATA, 60, 0, b"cue")]).of(1)] == [0, 40]

"""egress/hls/answers.py: headers and bodies."""

import pytest

from egress.hls.answers import PLAYLIST, kind_of_init, kind_of_media, playlist_body
from egress.hls.playlists import QUERY, SOUND
from tests.egress.hls.test_window import window


@pytest.mark.parametrize(("name", "kind"), [("720p", "video/mp4"), (SOUND, "audio/mp4")])
def test_media_may_be_kept_as_long_as_it_is_listed_and_is_of_one_kind(name: str, kind: str) -> None:
    made = window()
    found = kind_of_media(name, made)
    assert found is kind_of_media(name, made), "it is made once"
    age_s = int(made.limits.seconds)
    assert found.headers == {"Content-Type": kind, "Cache-Control": f"public, max-age={age_s}"}
    assert b"\r\nContent-Type: %b\r\n" % kind.encode() in found.lines
    init = kind_of_init(is_sound=name == SOUND)
    assert init.headers == {"Content-Type": kind, "Cache-Control": "public, max-age=86400"}


def test_a_playlist_carries_what_its_viewer_came_with_and_is_asked_for_anew() -> None:
    assert playlist_body(f"a.m4s{QUERY}\nb.m4s{QUERY}\n", "session=t&key=k") == (
        b"a.m4s?session=t&key=k\nb.m4s?session=t&key=k\n"
    )
    assert PLAYLIST.lines.count(b"Cache-Control: no-cache\r\n") == 1
    assert PLAYLIST.lines.count(b"Cache-Control") == 1

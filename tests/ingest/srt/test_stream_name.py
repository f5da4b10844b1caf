"""ingest/srt/stream_name.py: what streamids ask for."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.access.refusal import Refusal
from common.srt.reject_codes import BAD_REQUEST, reject_code
from ingest.srt.stream_name import PlayWish, PublishWish, wish_of


@pytest.mark.parametrize(
    ("streamid", "query"),
    [
        ("#!::m=publish,r=live/cam", {}),
        ("#!::r=live/cam,m=publish", {}),
        ("%23!::r=live/cam,m=publish", {}),
        ("#!::r=/live/cam,m=publish", {}),
        ("#!::h=host,r=live/cam,m=publish,t=stream", {}),
        ("#!::m=publish,r=live%2Fcam", {}),
        ("#!::m=bidirectional,r=live/cam", {}),
        ("#!::m=publish,r=live/cam,s=sesame", {"key": "sesame"}),
        ("#!::m=publish,r=live/cam,secret=sesame", {"key": "sesame"}),
        ("#!::m=publish,r=live/cam,key=sesame", {"key": "sesame"}),
        ("#!::m=publish,r=live/cam,token=t.t", {"token": "t.t"}),
        ("#!::m=publish,r=live/cam,u=anna", {"u": "anna"}),
        ("#!::m=publish,r=live/cam?key=sesame", {"key": "sesame"}),
        ("publish:live/cam", {}),
        ("publish:live/cam:sesame", {"key": "sesame"}),
        ("publish:live/cam:anna:sesame", {"key": "sesame", "u": "anna"}),
        ("publish:live/cam?key=sesame", {"key": "sesame"}),
        ("publish:live/cam#feedbackplay", {}),
        ("live/cam", {}),
        ("/live/cam", {}),
    ],
)
def test_publishers_ask_in_several_forms(streamid: str, query: dict[str, str]) -> None:
    assert wish_of(streamid) == PublishWish("live", "cam", query)


@pytest.mark.parametrize(
    ("streamid", "rendition", "query"),
    [
        ("#!::r=live/cam", "", {}),
        ("#!::m=request,r=live/cam", "", {}),
        ("#!::m=request,r=live/cam/720p", "720p", {}),
        ("#!::m=request,r=live/cam/720p,s=sesame,start=live", "720p", {"start": "live"}),
        ("#!::m=request,r=live/cam/720p,token=t.t", "720p", {"token": "t.t"}),
        ("request:live/cam", "", {}),
        ("request:live/cam/720p", "720p", {}),
        ("request:live/cam/720p:sesame", "720p", {"key": "sesame"}),
        ("request:live/cam/720p?key=sesame", "720p", {"key": "sesame"}),
        ("read:live/cam", "", {}),
        ("play:live/cam/source", "source", {}),
    ],
)
def test_viewers_ask_in_the_same_forms(
    streamid: str, rendition: str, query: dict[str, str]
) -> None:
    key = {"key": "sesame"} if "s=sesame" in streamid else {}
    assert wish_of(streamid) == PlayWish("live", "cam", rendition, {**query, **key})


@pytest.mark.parametrize(
    ("streamid", "code", "words"),
    [
        ("", BAD_REQUEST, "no streamid"),
        ("#!::m=request,r=live/cam/720p/x", BAD_REQUEST, "APP/KEY"),
        ("#!::m=request,r=live", BAD_REQUEST, "APP/KEY"),
        ("request:live/cam/7 p", BAD_REQUEST, "letters"),
        ("#!::m=publish", BAD_REQUEST, "APP/KEY"),
        ("#!::m=publish,r=live", BAD_REQUEST, "APP/KEY"),
        ("#!::m=publish,r=live/cam/720p", BAD_REQUEST, "APP/KEY"),
        ("#!::m=publish,r=live/ca m", BAD_REQUEST, "letters"),
        ("#!::m=write,r=live/cam", BAD_REQUEST, "mode"),
        ("#!::m=publish,r=live/cam,t=file", BAD_REQUEST, "mode"),
        ("publish:live", BAD_REQUEST, "APP/KEY"),
        ("rtmp://host/live/cam", BAD_REQUEST, "mode"),
        ("x" * 600, BAD_REQUEST, "characters"),
    ],
)
def test_others_are_refused_with_words_and_a_code(streamid: str, code: int, words: str) -> None:
    refusal = wish_of(streamid)
    assert isinstance(refusal, Refusal)
    assert words in refusal.words
    assert reject_code(refusal) == code


@given(st.text(max_size=80) | st.text("#!:=,mrpublish/acke?&%", max_size=60))
def test_any_text_is_a_wish_or_refused_without_its_key(streamid: str) -> None:
    found: Any = wish_of(streamid)
    assert isinstance(found, PublishWish | PlayWish | Refusal)
    if not isinstance(found, Refusal):
        assert found.key not in repr(found).replace(found.app, "", 1) or len(found.key) < 4

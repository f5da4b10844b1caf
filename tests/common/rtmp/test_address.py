import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import AddressError
from common.rtmp.address import Address, connect_app, parse_play, parse_publish

# what the client sent: app, tcUrl, name -> key, query
PUBLISH = [
    ("ffmpeg", "live", "rtmp://h:1935/live", "cam1", "cam1", {}),
    ("ffmpeg, key in the query", "live", "rtmp://h:1935/live", "cam1?key=x", "cam1", {"key": "x"}),
    ("ffmpeg, two parts for the app", "live/cam1", "rtmp://h/live/cam1", "", "cam1", {}),
    ("ffmpeg, default instance", "live/_definst_", "rtmp://h/live/_definst_", "cam1", "cam1", {}),
    ("obs, query in the server field", "live?key=x", "rtmp://h/live?key=x", "cam1", "cam1",
     {"key": "x"}),
    ("obs, only a query as key", "live/cam1", "rtmp://h/live/cam1", "?key=x", "cam1", {"key": "x"}),
    ("query only in tcUrl", "live", "rtmp://h/live?key=x", "cam1", "cam1", {"key": "x"}),
    ("name wins over app over tcUrl", "live?a=2&b=2", "rtmp://h/live?a=1&b=1&c=1", "k?a=3", "k",
     {"a": "3", "b": "2", "c": "1"}),
    ("trailing slash", "live/", "rtmp://h/live/", "/cam1/", "cam1", {}),
    ("mp4 prefix", "live", "", "mp4:cam1", "cam1", {}),
    ("flv prefix behind a slash", "live", "", "/FLV:cam1", "cam1", {}),
    ("plus stays, percent goes", "live", "", "k?key=a+b%2Bc%26d%3De", "k", {"key": "a+b+c&d=e"}),
    ("decoded once", "live", "", "k?key=%2541", "k", {"key": "%41"}),
    ("a value with =, a field with none", "live", "", "k?key=a==&start&=x&&", "k",
     {"key": "a==", "start": ""}),
    ("harmless characters", "live", "", "a.b_c~d-e+f@g=h,i!", "a.b_c~d-e+f@g=h,i!", {}),
    ("slash in a query value", "live", "", "k?key=a/b", "k", {"key": "a/b"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("app", "tc_url", "name", "key", "query"),
    [case[1:] for case in PUBLISH],
    ids=[c[0] for c in PUBLISH],
)
def test_publish_addresses_of_real_clients(
    app: str, tc_url: str, name: str, key: str, query: dict[str, str]
) -> None:
    assert parse_publish(app, tc_url, name) == Address("live", key, None, query)


PLAY = [
    ("ffmpeg splits after two parts", "live/cam1", "720p", "720p"),
    ("other clients after one", "live", "cam1/720p", "720p"),
    ("no rendition", "live", "cam1", None),
    ("no rendition, all in the app", "live/cam1", "", None),
    ("source by its name", "live/cam1", "source", None),
    ("prefix before the key", "live", "mp4:cam1/720p", "720p"),
    ("instance between", "live/_definst_", "cam1/720p", "720p"),
]


@pytest.mark.parametrize(
    ("app", "name", "rendition"), [c[1:] for c in PLAY], ids=[c[0] for c in PLAY]
)
def test_play_addresses_of_real_clients(app: str, name: str, rendition: str | None) -> None:
    assert parse_play(app, "", name) == Address("live", "cam1", rendition, {})


def test_play_options_are_in_the_query() -> None:
    assert parse_play("live/cam1", "", "720p?start=live").query["start"] == "live"


REFUSED = [
    ("empty", "", "", "no app"),
    ("only slashes", "///", "/", "no app"),
    ("no key", "live", "", "no stream key"),
    ("only a query as name", "live", "?key=secret", "no stream key"),
    ("three parts", "live/a", "secret", "3 parts"),
    ("long app", "a" * 129, "secret", "app is longer than 128"),
    ("long key", "live", "secret" * 30, "stream key is longer than 128"),
    ("absurdly long", "live", "secret" * 10_000, "longer than 4096"),
    ("parent folder", "live", "..", "stream key may hold only"),
    ("app of a dot", ".", "secret", "app may hold only"),
    ("space", "live", "secret key", "stream key may hold only"),
    ("control character", "live", "secret\n", "stream key may hold only"),
    ("percent in the path", "live", "secret%41", "stream key may hold only"),
    ("not ASCII", "live", "secrét", "stream key may hold only"),
    ("backslash", "live", "secret\\x", "stream key may hold only"),
]


@pytest.mark.parametrize(
    ("app", "name", "reason"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED]
)
def test_a_refused_address_has_a_reason_without_the_key(app: str, name: str, reason: str) -> None:
    with pytest.raises(AddressError, match=reason) as caught:
        parse_publish(app, "rtmp://h/live", name)
    assert "secret" not in str(caught.value)


def test_play_takes_three_parts_and_no_more() -> None:
    with pytest.raises(AddressError, match="4 parts"):
        parse_play("live/cam1", "", "720p/x")


def test_key_and_query_are_not_in_the_repr() -> None:
    shown = repr(parse_publish("live", "", "hush1?key=hush2"))
    assert "live" in shown
    assert "hush" not in shown


@pytest.mark.parametrize(
    ("app", "name"),
    [("live", "live"), ("live/cam1", "live"), ("live?key=x", "live"), ("/live/", "live"),
     ("live/_definst_", "live"), ("", None), ("/", None), ("?key=x", None), ("a" * 5000, None)],
)  # fmt: skip
def test_connect_names_the_template_by_the_first_part(app: str, name: str | None) -> None:
    assert connect_app(app) == name


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_an_address_or_an_address_error(app: str, tc_url: str, name: str) -> None:
    for parse in (parse_publish, parse_play):
        try:
            address = parse(app, tc_url, name)
        except AddressError:
            continue
        assert address.app == connect_app(f"{app.partition('?')[0]}/{address.app}")
        assert "/" not in address.key
        assert address.key.strip(".")

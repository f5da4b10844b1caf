"""The status document as the API gives it out: names for streams, and keys that stay hidden."""

import json
from typing import Any

import pytest

from api.document import find_stream, published, real_name
from common.process.log import key_hash, stream_label
from tests.kit.status_pages import farm_document, stream_row

SECRET = "s3cret-cam"
NAMES = [("live", SECRET), ("live", "own"), ("tv", "news")]


def row(app: str, key: str) -> dict[str, Any]:
    return stream_row(app, key) | {"is_key_secret": key == SECRET}


def document() -> dict[str, Any]:
    found = farm_document([row(app, key) for app, key in NAMES])
    found["streams"][0]["reason"] = f"made way by live/{SECRET} for tv/news"
    found["streams"][0]["recordings"] = [{"rendition": "source", "file": f"/r/live/{SECRET}/1.mp4"}]
    found["decisions"] = [
        row(app, key) | {"at_unix": 1.0, "text": f"ended for live/{SECRET}"} for app, key in NAMES
    ]
    found["kicked"] = [row(app, key) | {"for_s": 3.0} for app, key in NAMES]
    targets = [f"live/{SECRET}", "tv/news", "203.0.113.0/24", "2001:db8::/64"]
    found["bans"] = [
        {"target": t, "is_key_secret": SECRET in t, "since_unix": 1.0, "reason": "", "by": "uid 0"}
        for t in targets
    ]
    return found


def test_with_a_token_keys_are_there() -> None:
    found = published(document(), shows_keys=True)
    assert [(s["app"], s["key"]) for s in found["streams"]] == NAMES
    assert [s["id"] for s in found["streams"]] == [stream_label(f"{a}/{k}") for a, k in NAMES]


def test_without_one_a_key_that_lets_publish_is_nowhere() -> None:
    found = published(document(), shows_keys=False)
    assert SECRET not in json.dumps(found)
    assert [s["key"] for s in found["streams"]] == [None, "own", "news"]
    label = stream_label(f"live/{SECRET}")
    assert found["streams"][0]["reason"] == f"made way by {label} for tv/news"
    assert found["decisions"][2]["text"] == f"ended for {label}"
    assert [ban["target"] for ban in found["bans"]][:2] == [label, "tv/news"]
    assert [ban["target"] for ban in found["bans"]][2:] == ["203.0.113.0/24", "2001:db8::/64"]


def test_the_documents_own_lists_stay_as_they_were() -> None:
    """It is kept, for other readers."""
    whole = document()
    before = json.dumps(whole)
    published(whole, shows_keys=False)
    assert json.dumps(whole) == before


def test_a_supervisor_that_does_not_say_hides_its_keys() -> None:
    old = stream_row("old", SECRET)
    del old["is_key_secret"]
    found = published(farm_document([old]), shows_keys=False)
    assert SECRET not in json.dumps(found)


@pytest.mark.parametrize("shows_keys", [True, False])
def test_a_stream_is_found_by_its_label(shows_keys: bool) -> None:
    found = published(document(), shows_keys=shows_keys)
    stream = find_stream(found, "live", key_hash(SECRET))
    assert stream is not None
    assert stream["id"] == stream_label(f"live/{SECRET}")


def test_a_stream_is_found_by_its_key_by_those_who_see_it() -> None:
    assert find_stream(published(document(), shows_keys=True), "live", SECRET)
    hidden = published(document(), shows_keys=False)
    assert find_stream(hidden, "live", SECRET) is None, "else keys could be tried out"
    assert find_stream(hidden, "tv", "news")
    assert find_stream(hidden, "tv", SECRET) is None


def test_a_key_that_looks_like_the_label_of_another_is_itself() -> None:
    names = [("tv", "news"), ("tv", key_hash("news"))]
    whole = farm_document([row(app, key) for app, key in names])
    found = find_stream(published(whole, shows_keys=True), "tv", key_hash("news"))
    assert found is not None
    assert found["key"] == key_hash("news")
    assert real_name(whole, "tv", key_hash("news")) == ("tv", key_hash("news"))


def test_the_farms_name_of_a_stream_is_known_by_its_label() -> None:
    whole = document()
    assert real_name(whole, "live", key_hash(SECRET)) == ("live", SECRET)
    assert real_name(whole, "live", "own") == ("live", "own")
    assert real_name(whole, "live", "nobody") == ("live", "nobody")

"""common/access/keys.py: the check of publish and play keys."""

import hashlib
from dataclasses import replace

import pytest

from common.access.keys import (
    OPEN,
    OWN,
    digest_of,
    entry_of,
    play_digests,
    publish_entries,
)
from common.config.ladder import Template
from common.config.stream_keys import StreamKeys


def test_a_publish_key_must_be_one_of_those_listed() -> None:
    hashes = [hashlib.sha256(key).hexdigest() for key in (b"one", b"two")]
    assert entry_of({OPEN: ()}, "whatever") == OPEN
    assert entry_of({OWN: hashes}, "two") == OWN
    assert entry_of({OWN: [hashes[0].upper()]}, "one") == OWN
    assert entry_of({OWN: hashes}, "") is None
    assert entry_of({OWN: hashes}, "three") is None
    assert entry_of({OWN: ["schlüssel"]}, "schlüssel") is None


APP = Template("live", (), publish_keys=(digest_of("app1"), digest_of("app2")))
OPEN_APP = Template("live", ())
CLOSED = replace(OPEN_APP, needs_stream_key=True)
CAM = StreamKeys(publish=(digest_of("cam"), digest_of("next")), play=(digest_of("watch"),))
PLAY_ONLY = StreamKeys(play=(digest_of("watch"),))


@pytest.mark.parametrize(
    ("template", "own", "by_key"),
    [
        (OPEN_APP, None, {"": "open", "x": "open"}),
        (OPEN_APP, CAM, {"": None, "cam": "own", "next": "own", "app1": None}),
        (OPEN_APP, PLAY_ONLY, {"": "open"}),
        (APP, None, {"": None, "app1": "app1", "app2": "app2", "cam": None}),
        (APP, CAM, {"app1": None, "app2": None, "cam": "own"}),
        (APP, PLAY_ONLY, {"app1": "app1", "watch": None}),
        (CLOSED, None, {"": None, "cam": None}),
        (CLOSED, CAM, {"cam": "own", "": None}),
    ],
)
def test_a_streams_own_keys_alone_let_in_and_all_of_them_are_one_entry(
    template: Template, own: StreamKeys | None, by_key: dict[str, str | None]
) -> None:
    entries = publish_entries(template, own)
    expected = {"open": OPEN, "own": OWN, None: None}
    for key, name in by_key.items():
        entry = expected[name] if name in expected else digest_of(str(name))[:16]
        assert entry_of(entries, key) == entry


def test_a_stream_with_a_play_key_is_played_with_it_alone() -> None:
    app = replace(APP, play_keys=(digest_of("all"),))
    assert play_digests(app, None) == (digest_of("all"),)
    assert play_digests(app, CAM) == (digest_of("watch"),)
    assert play_digests(app, StreamKeys(publish=("1",))) == (digest_of("all"),)
    assert play_digests(OPEN_APP, None) == ()

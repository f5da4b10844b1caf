"""egress/relay/feed.py, with the link and the other host behind it"""

import pytest

from common.ipc.media_messages import HEADER, KEY, REPLAY, SHARED
from common.link.messages import LinkHeaders, LinkTags
from egress.relay.feed import Feed
from egress.streams.rendition import Rendition
from egress.streams.tag import AUDIO, VIDEO, PublisherInfo, Tag
from tests.kit.egress import AUDIO_HEADER, METADATA, VIDEO_HEADER
from tests.kit.egress import STREAM as STREAM_ID
from tests.kit.host_link import STREAM, LinkRig, opened


def tag(kind: int, dts_ms: int, flags: int = 0) -> Tag:
    codec = "h264" if kind == VIDEO else "aac"
    return Tag(kind, codec, dts_ms, 0, flags, b"%d at %d" % (kind, dts_ms))


@pytest.fixture
def rendition() -> Rendition:
    made = Rendition(STREAM_ID, "720p", is_transcoded=True, audio_hold_s=0.0, flush_s=0.0)
    made.begin(PublisherInfo(b"publisher", AUDIO_HEADER, "aac"))
    made.open(METADATA, VIDEO_HEADER, 0)
    made.tags(0, [tag(VIDEO, 0, KEY), tag(VIDEO, 40)], 0.0)
    made.flush()
    return made


def test_a_rendition_crosses_with_its_headers_and_its_gop_first(rendition: Rendition) -> None:
    rig = LinkRig()
    rig.connect()
    rig.want("720p")
    rig.serving.opened(opened())
    ends: list[str] = []
    feed = Feed(rig.serving, STREAM, rendition, ends.append)
    feed.begin()
    rendition.tags(2, [tag(VIDEO, 80)], 0.0)
    rendition.shared(tag(AUDIO, 60), 0.0)
    rendition.flush()
    rig.carry()

    headers = {m.rendition: payloads for m, payloads in rig.came if isinstance(m, LinkHeaders)}
    assert headers == {"source": [b"publisher", b""], "720p": [METADATA, VIDEO_HEADER]}
    tags = [t for m, _ in rig.came if isinstance(m, LinkTags) for t in m.tags]
    assert [(t.type, t.dts_ms, t.flags) for t in tags] == [
        (AUDIO, 0, HEADER),
        (VIDEO, 0, KEY | REPLAY),
        (VIDEO, 40, REPLAY),
        (VIDEO, 80, 0),
        (AUDIO, 60, 0),
    ]
    assert rig.times(SHARED) == [0, 60]
    feed.close()
    assert not rendition.is_subscribed
    feed.begin()
    rendition.end("over")
    assert ends == ["over"]

"""Who may play what, whatever protocol they ask by. Pure.

No text that comes from here holds a key.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from common.access.authorise import Shown, authorise_play
from common.access.refusal import Cause, Refusal, RefusalReason
from common.access.signed_url import Direction
from common.config.ladder import SOURCE
from common.config.settings import Settings
from common.ipc.identity import StreamId, split_stream_id, stream_id
from egress.streams.stream import Stream, StreamState
from egress.streams.subscribers import Start


@dataclass(frozen=True, slots=True)
class PlayWanted:
    """A request that is granted as soon as its stream and rendition are there."""

    stream_id: StreamId = field(repr=False)
    rendition: str
    start: Start
    wait_ms: int
    use: str = field(default="", repr=False)  # the name of its single-use URL's use; "": none
    until_unix: float = 0.0  # that URL is good

    @property
    def app(self) -> str:
        return split_stream_id(self.stream_id)[0]


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks to play, and when."""

    host: str  # the peer's address
    now_unix: float


def judge(
    settings: Settings,
    app: str,
    key: str,
    rendition: str | None,
    query: Mapping[str, str],
    viewer: Viewer,
) -> PlayWanted | Refusal:
    """Grant a request for APP/KEY/RENDITION?QUERY, or refuse it.

    Who is granted something with a `use` has it if that is the first (`OutputContext.used_urls`).
    """
    template = settings.template(app)
    if template is None:
        words = f"there is no app {app}"
        return Refusal(RefusalReason.NOT_FOUND, words, cause=Cause.NO_APP)
    stream, rendition = stream_id(app, key), rendition or SOURCE
    shown = Shown(viewer.host, query.get("key"), query.get("token"))
    own = settings.stream_keys.get(stream)
    found = authorise_play(template, own, key, rendition, shown, viewer.now_unix)
    if isinstance(found, Refusal):
        return found
    names = template.rendition_names()
    if rendition not in names:
        return Refusal(
            RefusalReason.NOT_FOUND,
            f"there is no rendition {rendition}; there are {', '.join(names)}",
            cause=Cause.NO_RENDITION,
        )
    start = Start.LIVE if query.get("start") == Start.LIVE.value else Start.GOP
    use, until_unix = found.single_use(Direction.PLAY, stream, template.signing)
    return PlayWanted(stream, rendition, start, template.wait_ms, use, until_unix)


def look_up(stream: Stream | None, wanted: PlayWanted) -> Refusal | bool:
    """Say whether the rendition can be played now; False: not yet."""
    if stream is None or stream.state in (StreamState.ENDING, StreamState.ENDED):
        return False
    rendition = stream.renditions.get(wanted.rendition)
    if rendition is None:
        words = _omitted(wanted.rendition, stream.transcoded)
        return Refusal(RefusalReason.NOT_FOUND, words, cause=Cause.NO_RENDITION)
    return rendition.has_start


def not_there(stream: Stream | None, wanted: PlayWanted) -> Refusal:
    """The refusal for a request that has waited long enough."""
    if stream is None:
        return Refusal(RefusalReason.NOT_FOUND, "nobody publishes this stream, or it has no video")
    return Refusal(RefusalReason.NOT_FOUND, f"the rendition {wanted.rendition} has no picture yet")


def _omitted(rendition: str, renditions: Sequence[str]) -> str:
    there = ", ".join((*renditions, SOURCE))
    return f"this stream has no {rendition}: it would be larger than the source; there are {there}"

"""Who may play what, whatever protocol they ask by. Pure.

No text that comes from here holds a key.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from common.access.authorise import Shown, authorise_play, play_rules
from common.access.refusal import Cause, Refusal, RefusalReason
from common.access.signed_url import Direction
from common.config.access import Way
from common.config.hooks import HookEvent
from common.config.ladder import SOURCE
from common.config.overrides import NO_OVERRIDES
from common.config.settings import Settings
from common.config.stream_keys import StreamKeys
from common.ipc.hook_messages import HookSubject
from common.ipc.identity import StreamId, split_stream_id, stream_id
from common.media.units import VideoCodec
from common.process.log import key_hash, stream_label
from egress.streams.stream import Stream, StreamState
from egress.streams.subscribers import Start

SESSION_BYTES = 9


@dataclass(frozen=True, slots=True)
class PlayWanted:
    """A request that is granted as soon as its stream and rendition are there."""

    stream_id: StreamId = field(repr=False)
    rendition: str
    start: Start
    wait_ms: int
    use: str = field(default="", repr=False)  # the name of its single-use URL's use; "": none
    until_unix: float = 0.0  # that URL is good
    needs_hook: bool = False  # and if the app's hook says so
    play_keys: tuple[str, ...] = field(default=(), repr=False)  # of the stream, it was judged by

    @property
    def app(self) -> str:
        return split_stream_id(self.stream_id)[0]


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks to play, and when."""

    host: str  # the peer's address
    now_unix: float


@dataclass(frozen=True, slots=True)
class Wish:
    """What a viewer asks for: APP/KEY/RENDITION?QUERY."""

    app: str
    key: str = field(repr=False)
    rendition: str  # "": the source
    query: Mapping[str, str] = field(repr=False)

    @property
    def stream_id(self) -> StreamId:
        return stream_id(self.app, self.key)


def judge(
    settings: Settings, wish: Wish, viewer: Viewer, stream: Stream | None = None
) -> PlayWanted | Refusal:
    """Grant what a viewer asks for, or refuse it; `stream` is that stream, if it is here.

    Who is granted something with a `use` has it if that is the first (`OutputContext.claims`).
    """
    template = settings.template(wish.app)
    if template is None:
        words = f"there is no app {wish.app}"
        return Refusal(RefusalReason.NOT_FOUND, words, cause=Cause.NO_APP)
    rendition, query = wish.rendition or SOURCE, wish.query
    shown = Shown(viewer.host, query.get("key"), query.get("token"))
    overrides = stream.overrides if stream is not None else NO_OVERRIDES
    own = settings.stream_keys.get(wish.stream_id)
    if overrides.play_keys:
        own = StreamKeys(play=overrides.play_keys)
    found = authorise_play(template, own, wish.key, rendition, shown, viewer.now_unix)
    if isinstance(found, Refusal):
        return found
    ladder = settings.template(overrides.template) or template
    # A hook may name another ladder as its publisher comes.
    is_known = stream is not None or not template.hooks.takes(HookEvent.ON_PUBLISH)
    if is_known and rendition not in ladder.rendition_names():
        return _no_rendition(rendition, ladder.rendition_names())
    start = Start.LIVE if query.get("start") == Start.LIVE.value else Start.GOP
    use, until_unix = found.single_use(Direction.PLAY, wish.stream_id, template.signing)
    return PlayWanted(
        wish.stream_id,
        rendition,
        start,
        template.wait_ms,
        use,
        until_unix,
        found.needs_hook,
        overrides.play_keys,
    )


def label_of(settings: Settings, wish: Wish) -> str:
    """What the log calls the stream of a request.

    What stands in the place of an app that is not there may be a key: people leave the app out.
    """
    if settings.template(wish.app) is None:
        return f"{key_hash(wish.app)}/{key_hash(wish.key)}"
    return stream_label(wish.stream_id)


def hook_subject(settings: Settings, wish: Wish, address: str, protocol: str) -> HookSubject:
    """Whom a hook is asked about; keys that tfarm checks itself are not passed on."""
    template = settings.template(wish.app)
    rules = play_rules(template) if template is not None else ()
    own = {"token", "key"} if any(Way.KEY in rule for rule in rules) else {"token"}
    query = {name: value for name, value in wish.query.items() if name not in own}
    name = secrets.token_urlsafe(SESSION_BYTES)
    rendition = wish.rendition or SOURCE
    return HookSubject(wish.app, wish.key, rendition, address, name, protocol, query)


def most_players(settings: Settings, stream_id: StreamId, stream: Stream | None) -> int:
    """How many may play a stream at once here, beside its app's limit; 0: no limit of its own.

    Its publisher's hook says it, else what the operator says of this stream.
    """
    by_hook = stream.overrides.limits if stream is not None else None
    if by_hook is not None and by_hook.players:
        return by_hook.players
    own = settings.stream_keys.get(stream_id)
    return own.limits.players if own is not None and own.limits is not None else 0


def stream_is_full(most: int) -> Refusal:
    """The refusal for one more player of a stream than it takes."""
    words = f"this stream has the {most} players that it takes (max_players); try again later"
    return Refusal(RefusalReason.FULL, words)


def look_up(stream: Stream | None, wanted: PlayWanted) -> Refusal | bool:
    """Say whether the rendition can be played now; False: not yet."""
    if stream is None or stream.state in (StreamState.ENDING, StreamState.ENDED):
        return False
    rendition = stream.renditions.get(wanted.rendition)
    if rendition is None:
        names = stream.template.rendition_names()
        if wanted.rendition not in names:
            return _no_rendition(wanted.rendition, names)
        words = _omitted(wanted.rendition, stream.transcoded)
        return Refusal(RefusalReason.NOT_FOUND, words, cause=Cause.NO_RENDITION)
    return rendition.has_start


def not_taken(codec: str, stream: Stream) -> Refusal:
    """The refusal for a player that says, by its silence too, that it takes no such video."""
    plain = [one.name for one in stream.template.plain_renditions if one.name in stream.transcoded]
    instead = f"play {', '.join(plain)}" if plain else "nothing of it is transcoded"
    return Refusal(
        RefusalReason.UNSUPPORTED,
        f"this is {VideoCodec(codec).label} video, which the player does not say that it takes"
        f" (fourCcList of Enhanced RTMP; ffmpeg: -rtmp_enhanced_codecs): {instead}",
    )


def not_there(stream: Stream | None, wanted: PlayWanted) -> Refusal:
    """The refusal for a request that has waited long enough."""
    if stream is None:
        return Refusal(RefusalReason.NOT_FOUND, "nobody publishes this stream, or it has no video")
    return Refusal(RefusalReason.NOT_FOUND, f"the rendition {wanted.rendition} has no picture yet")


def _no_rendition(rendition: str, names: Sequence[str]) -> Refusal:
    words = f"there is no rendition {rendition}; there are {', '.join(names)}"
    return Refusal(RefusalReason.NOT_FOUND, words, cause=Cause.NO_RENDITION)


def _omitted(rendition: str, renditions: Sequence[str]) -> str:
    """Say why a rendition of the template is not there; of what is transcoded one always is."""
    if not renditions:
        return (
            f"this stream has no {rendition} now: it is passed on as it comes, since the farm is"
            f" busy or is to transcode nothing of it; play {SOURCE}, or try again later"
        )
    there = ", ".join((*renditions, SOURCE))
    return f"this stream has no {rendition}: it would be larger than the source; there are {there}"

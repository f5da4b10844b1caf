"""The keys of templates that say who may publish and play, at most what, and who is asked. Pure.

The rest of a template is in `common/config/model_templates.py`.
"""

from dataclasses import replace
from typing import Annotated, Any, ClassVar, Self

from pydantic import model_validator

from common.config.access import Signing
from common.config.access_values import HookUrl, SigningSecret
from common.config.hooks import HookEvent, Hooks, OnError
from common.config.key_values import KeyTexts, digest
from common.config.keys import Holds, Table, key, tables
from common.config.limits import MAX_REFERENCE_FRAMES, StreamLimits
from common.config.picture_values import FrameSize
from common.config.stream_keys import StreamKeys
from common.config.values import Bitrate, Choice, Integer, Json, Name, Seconds, Text

NOW, NEW_STREAMS = Holds.NOW, Holds.NEW_STREAMS


class LimitsTable(Table):
    """`[templates.APP.limits]`."""

    title: ClassVar[str] = "what a publisher may send at most"

    max_size: Annotated[Any, FrameSize()] = key(
        StreamLimits,
        "size",
        "the largest picture, upright or lying; a publisher of a larger one is refused at its "
        "sequence header",
        NEW_STREAMS,
    )
    max_fps: Annotated[int, Integer(1, 1000)] = key(
        StreamLimits, "fps", "frames a second, as measured over some seconds", NEW_STREAMS
    )
    max_bitrate: Annotated[int, Bitrate(16_000, 2_000_000_000)] = key(
        StreamLimits,
        "bitrate_bps",
        "bitrate of all that a publisher sends, bursts apart; twice as much is seen after 20 s",
        NEW_STREAMS,
    )
    max_reference_frames: Annotated[int, Integer(1, MAX_REFERENCE_FRAMES)] = key(
        StreamLimits,
        "reference_frames",
        "pictures that a decoder has to keep, by the sequence header; each takes memory",
        NEW_STREAMS,
    )
    max_duration: Annotated[float, Seconds(0, 31 * 86_400)] = key(
        StreamLimits,
        "duration_s",
        "how long one publisher may publish before it is ended; 0: no limit",
        NEW_STREAMS,
    )
    max_publishers: Annotated[int, Integer(0, 1_000_000)] = key(
        StreamLimits,
        "publishers",
        "streams of the app at once, those whose publisher is away included; 0: no limit",
        NEW_STREAMS,
    )
    max_players: Annotated[int, Integer(0, 1_000_000)] = key(
        StreamLimits,
        "players",
        "players of all streams of the app at one egress process; 0: no limit",
        NOW,
    )


class SigningTable(Table):
    """`[templates.APP.signing]`."""

    title: ClassVar[str] = "signed URLs"

    keys: dict[Annotated[str, Name()], Annotated[str, SigningSecret()]] = key(
        Signing,
        "keys",
        "a table: key id = secret. URLs signed with any of them are good, for publishing and for "
        "playing. `tfarm sign` signs with the last one, so that a new key is added below the old "
        "one, which is taken out when its URLs have expired",
        NOW,
        default="none",
        example={"k1": "the output of `openssl rand -hex 32`"},
        schema={"propertyNames": Name().schema()},
    )
    clock_skew: Annotated[float, Seconds(0, 3600)] = key(
        Signing,
        "clock_skew_s",
        "URLs are valid for this much longer, since the signer's clock may be off",
        NOW,
    )

    def signing(self) -> Signing:
        """The keys in their order, and the rest."""
        given = self.settings()
        if "keys" in given:
            given["keys"] = tuple(given["keys"].items())
        return Signing(**given)


class HooksTable(Table):
    """`[templates.APP.hooks]`."""

    title: ClassVar[str] = "an HTTP server that decides and is told"

    url: Annotated[str, HookUrl()] = key(
        Hooks,
        "url",
        "where events are sent to, as JSON by POST",
        NOW,
        default="none",
        example="https://hooks.example.com/tfarm",
    )
    secret: Annotated[str, SigningSecret()] = key(
        Hooks,
        "secret",
        "what is sent is signed with it (HMAC-SHA256); needed with `url`",
        NOW,
        default="none",
        example="the output of `openssl rand -hex 32`",
    )
    events: tuple[Annotated[HookEvent, Choice(HookEvent)], ...] = key(
        Hooks,
        "events",
        "which events are sent. `on_publish` and `on_play` ask for a decision, where the rules say "
        "so; the others are notices",
        NOW,
        schema={"uniqueItems": True},
    )
    deadline: Annotated[float, Seconds(0.1, 30)] = key(
        Hooks, "deadline_s", "how long a publisher or a player waits for the answer", NOW
    )
    on_error: Annotated[OnError, Choice(OnError)] = key(
        Hooks, "on_error", "what happens to publishers and players when there is no answer", NOW
    )
    cache: Annotated[float, Seconds(0, 86_400)] = key(
        Hooks,
        "cache_s",
        "for how long an answer is valid for the same stream, rendition, address and query. An "
        "answer may say its own time. 0: the hook is asked each time",
        NOW,
    )
    retry: Annotated[float, Seconds(0, 86_400)] = key(
        Hooks, "retry_s", "for how long notices are sent again", NOW
    )
    parallel: Annotated[int, Integer(1, 100)] = key(
        Hooks,
        "parallel",
        "requests of one stream at a time. With 1 they arrive in order; with more, `sequence` says "
        "the order",
        NOW,
    )
    ca_file: Annotated[str, Text()] = key(
        Hooks,
        "ca_file",
        "PEM file of the certificates that are trusted, an absolute path",
        NOW,
        default="the system's",
        example="/etc/tfarm/hooks-ca.pem",
    )


class StreamKeysTable(Table):
    """One entry: `cam1 = "secret"`, or a table of these keys."""

    publish: Annotated[Any, KeyTexts()] = key(
        StreamKeys,
        "publish",
        "the stream is published with this key alone, and not with the app's `publish_keys`",
        NOW,
        default="the app's",
        example="cam1-secret",
    )
    play: Annotated[Any, KeyTexts()] = key(
        StreamKeys,
        "play",
        "the stream is played with this key alone, and not with the app's `play_keys`",
        NOW,
        default="the app's",
        example=["cam1-watch", "sha256:" + digest("cam1-other")],
    )

    limits: LimitsTable = tables()

    @model_validator(mode="before")
    @classmethod
    def _from_one_key(cls, value: Any) -> Any:
        """A key that stands by itself is the publishers'."""
        return {"publish": value} if isinstance(value, str | list) else value

    @model_validator(mode="after")
    def _of_one_stream(self) -> Self:
        if self.limits is not None and "max_publishers" in self.limits.model_fields_set:
            raise ValueError("limits.max_publishers is for an app, and this is one stream")
        return self

    def stream_keys(self, app: StreamLimits) -> StreamKeys:
        """The digests, keys in clear stand nowhere else; limits over those of the app."""
        limits = self.limits
        return StreamKeys(
            publish=tuple(map(digest, self.publish or ())),
            play=tuple(map(digest, self.play or ())),
            limits=replace(app, **limits.settings()) if limits is not None else None,
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> Json:
        table = super().__get_pydantic_json_schema__(core, handler)
        return {"anyOf": [KeyTexts().schema(), table]}

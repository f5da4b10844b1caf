"""The keys of templates and renditions: what holds for an app's streams. Pure.

The rest of the file's form is in `common/config/model.py`, which says how a key is declared.
"""

from typing import Annotated, Any, ClassVar

from common.config.access_values import AccessRule
from common.config.conflicts import MAX_PUSHES, MAX_RENDITIONS
from common.config.hooks import Hooks
from common.config.key_values import StreamKey, digest
from common.config.keys import Holds, Table, key, needed, tables
from common.config.ladder import (
    DEFAULT_QUALITY,
    RENDITION_CODECS,
    SOURCE,
    AwayPicture,
    MadeWhen,
    Pipeline,
    RateControl,
    Rendition,
    RenditionFit,
    Takeover,
    Template,
)
from common.config.limits import StreamLimits
from common.config.model_access import (
    HooksTable,
    LimitsTable,
    SigningTable,
    StreamKeysTable,
)
from common.config.model_push import PushTable
from common.config.model_record import RecordTable
from common.config.picture_values import MAX_SEI_UUIDS, CodecName, SeiUuid
from common.config.settings import DEFAULT_RENDITIONS
from common.config.stream_keys import StreamKeys
from common.config.values import (
    Bitrate,
    Boolean,
    Choice,
    Even,
    Flush,
    FrameRate,
    Json,
    Milliseconds,
    Name,
    Number,
    Seconds,
    Secret,
    Sha256,
    SourceLimit,
    Word,
)
from common.media.units import VideoCodec

NOW, NEW_STREAMS = Holds.NOW, Holds.NEW_STREAMS

Amount = Annotated[float, Number(0, 1e9)]


class RenditionTable(Table):
    """`[[templates.APP.renditions]]`."""

    title: ClassVar[str] = ""
    schema_rules: ClassVar[Json] = {
        "dependentSchemas": {
            "maxrate": {"properties": {"rc": {"const": "vbr"}}, "required": ["rc"]},
            "quality": {"properties": {"rc": {"const": "quality"}}, "required": ["rc"]},
        }
    }

    name: Annotated[str, Name()] = needed(
        Rendition,
        "name",
        "the last part of the URL to play; not `source`",
        NEW_STREAMS,
        example="720p",
        schema={"not": {"const": SOURCE}},
    )
    width: Annotated[int, Even(16, 4096)] = needed(
        Rendition,
        "width",
        "width of the frames at most; see `fit`. A rendition that would enlarge the source is left "
        "out; where all would, the smallest is made in the source's size",
        NEW_STREAMS,
        example=1280,
    )
    height: Annotated[int, Even(16, 4096)] = needed(
        Rendition, "height", "height of the frames at most", NEW_STREAMS, example=720
    )
    bitrate: Annotated[int, Bitrate(16_000, 200_000_000)] = needed(
        Rendition,
        "bitrate_bps",
        "bitrate of the video. Frames smaller than `width` x `height` get less, by their pixels; "
        "fewer frames a second get no less",
        NEW_STREAMS,
        example="2500k",
    )
    fps: Annotated[Any, FrameRate()] = key(
        Rendition,
        "fps",
        'frames a second at most; a slower source stays as it is. `29.97`, `"30000/1001"`; '
        '`"source"`: no limit',
        NEW_STREAMS,
    )
    codec: Annotated[VideoCodec, CodecName(RENDITION_CODECS)] = key(
        Rendition,
        "codec",
        'codec of the video. `"h265"` and `"av1"` are for players that say that they take them; a '
        "ladder has at least one rendition of H.264, for all others",
        NEW_STREAMS,
    )
    profile: Annotated[str, Word(("baseline", "main", "high"))] = key(
        Rendition, "profile", "H.264 profile; other codecs have theirs by themselves", NEW_STREAMS
    )
    preset: Annotated[str, Word(("p1", "p2", "p3", "p4", "p5", "p6", "p7"))] = key(
        Rendition,
        "preset",
        "NVENC's preset, from fast to good; in software it is mapped to one of x264's, x265's or "
        "SVT-AV1's",
        NEW_STREAMS,
    )
    rc: Annotated[RateControl, Choice(RateControl)] = key(
        Rendition,
        "rate_control",
        'rate control: `"cbr"` holds the bitrate; `"vbr"` holds it on average and may spend up to '
        "`maxrate`; "
        '`"quality"` spends what the picture needs, and the bitrate at most',
        NEW_STREAMS,
    )
    quality: Annotated[float, Number(10, 45)] = key(
        Rendition,
        "quality",
        'with `rc = "quality"`: how good, as CRF of x264 and x265, or CQ of NVENC, counts: less is '
        "better; six less take twice as much",
        NEW_STREAMS,
        default=f"{DEFAULT_QUALITY:g}",
        example=23,
    )
    quality_floor: Annotated[float, Number(0.01, 1)] = key(
        Rendition,
        "quality_floor",
        "the least SSIM: below it status, the log and the hook say so, see `quality_every`. 0.95 "
        "is good, 0.9 is visibly worse than the picture",
        NEW_STREAMS,
        default="none",
        example=0.9,
    )
    maxrate: Annotated[int, Bitrate(16_000, 400_000_000)] = key(
        Rendition,
        "maxrate_bps",
        'with `rc = "vbr"`: the peak, averaged over the VBV buffer; at least the bitrate',
        NEW_STREAMS,
        default="1.5 times the bitrate",
        example="3750k",
    )
    vbv: Annotated[int, Milliseconds(50, 10_000)] = key(
        Rendition,
        "vbv_ms",
        'the VBV buffer holds this long at the bitrate, with `rc = "vbr"` at `maxrate`',
        NEW_STREAMS,
    )
    fit: Annotated[RenditionFit, Choice(RenditionFit)] = key(
        Rendition,
        "fit",
        "the same as the template's `fit`, for this rendition alone",
        NEW_STREAMS,
        default="the template's",
        example="box",
    )
    when: Annotated[MadeWhen, Choice(MadeWhen)] = key(
        Rendition,
        "when",
        "the same as the template's `renditions_when`, for this rendition alone",
        NEW_STREAMS,
        default="the template's",
        example="always",
    )
    cost: Amount = key(
        Rendition,
        "cost",
        "what the rendition costs, by hand",
        NEW_STREAMS,
        default="from the pixel rate",
        example=28,
    )


class TemplateTable(Table):
    """`[templates.APP]`."""

    schema_rules: ClassVar[Json] = {
        "if": {"properties": {"takeover": {"const": "always"}}, "required": ["takeover"]},
        "then": {
            "anyOf": [
                {"required": [name], "properties": {name: {"minItems": 1}}}
                for name in ("publish_keys", "publish_keys_sha256")
            ]
            + [{"required": ["stream_keys"], "properties": {"stream_keys": {"minProperties": 1}}}]
            + [{"required": ["signing"]}]
        },
    }

    gop: Annotated[int, Milliseconds(250, 20_000)] = key(
        Template, "gop_ms", "keyframe distance of every rendition, on one grid", NEW_STREAMS
    )
    hold: Annotated[int, Milliseconds(0, 600_000)] = key(
        Template, "hold_ms", "how long renditions and players outlive a lost publisher", NEW_STREAMS
    )
    wait: Annotated[int, Milliseconds(0, 600_000)] = key(
        Template, "wait_ms", "how long a player waits for a publisher", NOW
    )
    max_source: Annotated[Any, SourceLimit()] = key(
        Template,
        "max_source",
        "the largest source that you expect. A source whose frame rate is not known yet counts at "
        "this rate, and `tfarm check` tells how many such sources fit. It is no limit; `limits` "
        "has those",
        NEW_STREAMS,
    )
    publish_keys: tuple[Annotated[str, Secret()], ...] = key(
        Template,
        "publish_keys",
        "a publisher must give one of them, as `?key=`; with none, and without `signing`, anyone "
        "may publish",
        NOW,
    )
    publish_keys_sha256: tuple[Annotated[str, Sha256()], ...] = key(
        Template,
        "publish_keys",
        "the same as SHA-256 digests (`printf %s KEY | sha256sum`), so that the file holds no key",
        NOW,
    )
    play_keys: tuple[Annotated[str, Secret()], ...] = key(
        Template,
        "play_keys",
        "the same for players: `rtmp://HOST/live/cam1/720p?key=…`",
        NOW,
    )
    play_keys_sha256: tuple[Annotated[str, Sha256()], ...] = key(
        Template, "play_keys", "the same for players, as SHA-256 digests", NOW
    )
    takeover: Annotated[Takeover, Choice(Takeover)] = key(
        Template,
        "takeover",
        'what happens to a second publisher on a key in use: `"always"` takes it over (needs '
        'publish keys), `"idle"` does when the first has gone silent, `"never"` is refused',
        NEW_STREAMS,
    )
    filler: Annotated[AwayPicture, Choice(AwayPicture)] = key(
        Template,
        "away_picture",
        'what players get while the publisher is away: `"freeze"`, the last picture and silence, '
        'or `"none"`',
        NEW_STREAMS,
    )
    policy: tuple[Annotated[Pipeline, Choice(Pipeline)], ...] = key(
        Template,
        "policy",
        'the pipelines by which a stream may be served, in order; `"passthrough"` and `"refuse"` '
        "stand last",
        NEW_STREAMS,
        schema={"minItems": 1, "uniqueItems": True},
    )
    cost: Amount = key(
        Template,
        "cost",
        "what a whole stream costs, by hand",
        NEW_STREAMS,
        default="from the pixel rate",
        example=51,
    )
    flush: Annotated[int, Flush()] = key(
        Template,
        "flush_ms",
        '`"frame"`: each frame goes out by itself; a time: writes to players are merged for so '
        "long",
        NEW_STREAMS,
    )
    audio_hold: Annotated[int, Milliseconds(0, 1000)] = key(
        Template,
        "audio_hold_ms",
        "how long audio may wait to be sent with a video frame",
        NEW_STREAMS,
    )
    fit: Annotated[RenditionFit, Choice(RenditionFit)] = key(
        Template,
        "fit",
        'how sources of another aspect fit a rendition\'s width and height. `"short-side"`: the '
        "picture's long side within the longer of the two, its short side within the shorter, "
        "without black bars, so that an upright source gets upright renditions (1080x1920 as "
        '720x1280). `"box"`: each frame has just that width and height, with black bars',
        NEW_STREAMS,
    )
    renditions_when: Annotated[MadeWhen, Choice(MadeWhen)] = key(
        Template,
        "renditions_when",
        'when renditions are made: `"always"`, or `"watched"`, while somebody plays them or waits '
        "for them. A stream of which nobody watches any costs a few per cent then; a first player "
        "waits some 0.1 s longer",
        NEW_STREAMS,
    )
    linger: Annotated[int, Milliseconds(0, 600_000)] = key(
        Template,
        "linger_ms",
        'with `"watched"`: how long a rendition is made after its last viewer has left',
        NEW_STREAMS,
    )
    expected_use: Annotated[float, Number(0.01, 1)] = key(
        Template,
        "expected_use",
        'with `"watched"`: the part of these renditions that you expect to be watched at a time, '
        "with a reserve. So much of their cost is booked, so that more streams are let in; where "
        "more is watched, the device falls behind and takes its usual steps",
        NEW_STREAMS,
    )
    multitrack_video: Annotated[bool, Boolean()] = key(
        Template,
        "multitrack_video",
        "further video tracks of a publisher (Enhanced RTMP, as OBS's multitrack video sends them) "
        "stand in for the renditions of their size and codec: these are passed on, not encoded. "
        "The farm makes what is missing",
        NEW_STREAMS,
    )
    audio_levels: Annotated[bool, Boolean()] = key(
        Template,
        "audio_levels",
        "measure the sound of each stream now and then, in a process of its own: level, silence, "
        "clipping",
        NEW_STREAMS,
    )
    audio_only: Annotated[str, Name()] = key(
        Template,
        "audio_only",
        "the name of a further rendition that has the sound alone",
        NEW_STREAMS,
        default="none",
        example="audio",
        schema={"not": {"const": SOURCE}},
    )
    idle_timeout: Annotated[float, Seconds(0.1, 86_400)] = key(
        Template,
        "idle_timeout_s",
        "a publisher that sends no sound and no picture for this long is closed; a screen that is "
        "shared may be still for minutes",
        NEW_STREAMS,
        default="`ingest.idle_timeout`",
        example="10m",
    )
    publish_rules: tuple[Annotated[Any, AccessRule()], ...] = key(
        Template,
        "publish_rules",
        "who may publish: each rule names what must be shown, and one rule is enough. "
        '`["key+signed"]` needs both, `["key", "signed"]` either, `["open"]` nothing',
        NOW,
        default="each of `publish_keys` and `signing` that is configured, with `hooks`",
        example=["key", "signed"],
        schema={"uniqueItems": True},
    )
    play_rules: tuple[Annotated[Any, AccessRule()], ...] = key(
        Template,
        "play_rules",
        "the same for players",
        NOW,
        default="each of `play_keys` and `signing` that is configured, with `hooks`",
        example=["signed", "key"],
        schema={"uniqueItems": True},
    )
    push: tuple[PushTable, ...] = key(
        Template,
        "pushes",
        "others' servers that streams are sent to, see below; the first one of a farm needs a "
        "restart, since there is a process for it then",
        NOW,
        default="none",
        schema={"maxItems": MAX_PUSHES},
    )
    sei_uuids: tuple[Annotated[str, SeiUuid()], ...] = key(
        Template,
        "sei_uuids",
        "UUIDs of user data (SEI `user_data_unregistered`) that renditions of H.264 and H.265 keep",
        NEW_STREAMS,
        default="none",
        example=["086f3693-b7b3-4f2c-9653-21492feee5b8"],
        schema={"maxItems": MAX_SEI_UUIDS},
    )
    utc: Annotated[bool, Boolean()] = key(
        Template, "utc", "pictures of H.264 and H.265 say in a SEI when they came in", NEW_STREAMS
    )
    quality_every: Annotated[int, Milliseconds(0, 3_600_000)] = key(
        Template,
        "quality_every_ms",
        "how often a keyframe of each rendition is compared with the picture that it was made of, "
        "as SSIM and PSNR; more seldom where that would take more than 1 % of what its encoding "
        "takes. 0: never",
        NEW_STREAMS,
    )
    backup: Annotated[bool, Boolean()] = key(
        Template,
        "takes_backup",
        "a second publisher may stand by, as `KEY#backup` or `KEY?backup=1`; what it sends is read "
        "and kept, and not transcoded before it is switched to",
        NEW_STREAMS,
    )
    backup_after: Annotated[float, Seconds(0.5, 60)] = key(
        Template,
        "backup_after_s",
        "with `backup`: after how long without a picture of the main publisher the backup is "
        "switched to; one that has left is replaced at once",
        NEW_STREAMS,
    )
    backup_after_black: Annotated[float, Seconds(10, 3600)] = key(
        Template,
        "backup_after_black_s",
        "with `backup`: after how long of black pictures it is switched to",
        NEW_STREAMS,
        default="never",
        example="10s",
    )
    backup_after_silence: Annotated[float, Seconds(10, 3600)] = key(
        Template,
        "backup_after_silent_s",
        "with `backup` and `audio_levels`: after how long of silent sound it is switched to",
        NEW_STREAMS,
        default="never",
        example="30s",
    )
    backup_return: Annotated[float, Seconds(0.5, 3600)] = key(
        Template,
        "backup_return_s",
        "with `backup`: for how long the main publisher must have sent pictures again before it is "
        "switched back to",
        NEW_STREAMS,
    )
    limits: LimitsTable = tables()
    signing: SigningTable = tables()
    hooks: HooksTable = tables()
    record: RecordTable = tables()
    stream_keys: dict[Annotated[str, StreamKey()], StreamKeysTable] = tables(
        schema={"propertyNames": StreamKey().schema()}
    )
    renditions: tuple[RenditionTable, ...] = key(
        Template,
        "renditions",
        "the ladder, see below; an empty array passes streams through",
        NEW_STREAMS,
        default="720p, 480p, 360p",
        schema={"maxItems": MAX_RENDITIONS},
    )

    def template(self, app: str) -> Template:
        """The template of an app. Keys in clear are hashed here and stand nowhere else."""
        given = self.settings()
        for side in ("publish_keys", "play_keys"):
            clear, digests = getattr(self, side) or (), getattr(self, f"{side}_sha256") or ()
            given[side] = (*map(digest, clear), *digests)
        own = self.own_keys().values()
        given["needs_stream_key"] = not given["publish_keys"] and any(keys.publish for keys in own)
        # Without the key the built-in ladder holds; an empty array is "passthrough only".
        renditions: tuple[Rendition, ...] = DEFAULT_RENDITIONS
        if self.renditions is not None:
            renditions = tuple(Rendition(**table.settings()) for table in self.renditions)
        if self.push is not None:
            given["pushes"] = tuple(table.rule() for table in self.push)
        if self.limits is not None:
            given["limits"] = StreamLimits(**self.limits.settings())
        if self.signing is not None:
            given["signing"] = self.signing.signing()
        if self.record is not None:
            given["recording"] = self.record.recording()
        if self.hooks is not None:
            given["hooks"] = Hooks(**self.hooks.settings())
        return Template(name=app, **(given | {"renditions": renditions}))

    def own_keys(self) -> dict[str, StreamKeys]:
        """The keys that streams have of their own, by stream key."""
        limits = self.limits.settings() if self.limits is not None else {}
        app = StreamLimits(**limits)
        return {name: table.stream_keys(app) for name, table in (self.stream_keys or {}).items()}

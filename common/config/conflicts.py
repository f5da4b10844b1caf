"""What keys say together that each of them may say alone. Pure.

`common/config/model.py` declares what one key may be; these are the rules over several.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from common.access.exposure import is_local
from common.config.access import Rules, Way
from common.config.hooks import HookEvent
from common.config.ladder import (
    PROFILE,
    SOURCE,
    RateControl,
    Rendition,
    Takeover,
    Template,
    min_side,
)
from common.config.picture_values import MAX_SEI_UUIDS
from common.config.policy import never_tried, unserved
from common.config.recording import Recording, Upload
from common.config.settings import ApiSettings, ClusterSettings, Listen, Settings
from common.config.stream_keys import StreamKeys
from common.errors import ConfigFault
from common.media.units import VideoCodec

MAX_RENDITIONS = 16
MAX_AV1_BPS = 100_000_000  # that SVT-AV1 takes
MAX_PUSHES = 8
MIN_ROTATE_BYTES = 1 << 20  # of a recording
PAGES = ("play", "player")  # no apps: first words of addresses where viewers' pages are
SOUND_FOLDER = "sound"  # no rendition: in HLS it is beside them
ANY_ORIGIN = "*"
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+")


@dataclass(frozen=True, slots=True)
class Conflict:
    """A fault at one key, and the others that it comes of."""

    path: str
    problem: str
    others: tuple[str, ...] = ()


def conflicts(settings: Settings, faulty: Sequence[str] = ()) -> list[ConfigFault]:
    """The faults over several keys.

    `faulty` are paths with a fault of their own, in whose place the settings have something else:
    nothing is said of these, nor of what comes of them.
    """
    every = [
        *_of_api(settings.api),
        *_of_tls(settings),
        *_same_addresses(settings),
        *_of_web(settings),
        *_of_cluster(settings.cluster),
        *_of_pulls(settings),
    ]
    for template in settings.templates:
        every += _of_template(template, f"templates.{template.name}")
        every += _of_stream_keys(template, settings.stream_keys)
        every += _of_rules(template, settings.stream_keys)
        every += of_pushes(template)
        every += _of_sei(template)
        every += _of_recording(template)
        every += _of_backup(template)
    found = [
        ConfigFault(conflict.path, conflict.problem)
        for conflict in every
        if not any(_meet(path, one) for path in (conflict.path, *conflict.others) for one in faulty)
    ]
    if not found and not faulty:
        found += unserved(settings)
    return found


def _of_api(api: ApiSettings) -> Iterator[Conflict]:
    if api.is_enabled and not api.tokens and not is_local(api.listen.host):
        yield Conflict(
            "api.listen", "needs api.tokens: else anyone reads what goes on here", ("api.tokens",)
        )


def _of_tls(settings: Settings) -> Iterator[Conflict]:
    https = settings.listen_https if settings.web.is_enabled else None
    takers = {"listen.rtmps": settings.listen_tls, "listen.https": https}
    users = [key for key, where in takers.items() if where is not None]
    if users and not settings.tls.certificate:
        yield Conflict("tls.certificate", f"must be there: {users[0]} takes TLS", tuple(users))


def _same_addresses(settings: Settings) -> Iterator[Conflict]:
    """Two listeners at one address, those that the farm has."""
    found: dict[str, Listen | None] = {
        "listen.rtmp": settings.listen,
        "listen.rtmps": settings.listen_tls,
        "api.listen": settings.api.listen if settings.api.is_enabled else None,
    }
    if settings.web.is_enabled:
        found |= {"listen.http": settings.listen_http, "listen.https": settings.listen_https}
    seen: dict[Listen, str] = {}
    for key, where in found.items():
        if where is not None and where.port:
            if where in seen:
                yield Conflict(key, f"is the address of {seen[where]}", (seen[where],))
            seen.setdefault(where, key)


def _of_web(settings: Settings) -> Iterator[Conflict]:
    if not settings.web.is_enabled:
        return
    for index, origin in enumerate(settings.web.cors_origins):
        if origin != ANY_ORIGIN and not _ORIGIN.fullmatch(origin):
            problem = 'must be a site, as "https://example.org", or "*"'
            yield Conflict(f"web.cors_origins[{index}]", problem)
    for template in settings.templates:
        if template.name in PAGES:
            problem = f"/{template.name}/ is where viewers' pages are (web.enabled)"
            yield Conflict(f"templates.{template.name}", problem, ("web.enabled",))
        path = f"templates.{template.name}"
        names = {
            f"{path}.renditions[{index}].name": rendition.name
            for index, rendition in enumerate(template.renditions)
        }
        for here, name in {**names, f"{path}.audio_only": template.audio_only}.items():
            if name == SOUND_FOLDER:
                problem = f"{SOUND_FOLDER} is where viewers of HLS find the sound (web.enabled)"
                yield Conflict(here, problem, ("web.enabled",))


_CLUSTER_TOGETHER = (
    ("etcd_cert", "etcd_key"),
    ("etcd_user", "etcd_password_file"),
    ("cert", "key", "ca"),
)
MAX_ENDPOINTS = 9  # of etcd, which votes among so many at most


def _of_cluster(cluster: ClusterSettings) -> Iterator[Conflict]:
    if not cluster.is_enabled:
        given = [name for name in ("secret_file", "etcd", "cert") if getattr(cluster, name)]
        if given:
            problem = f"must be there: cluster.{given[0]} is"
            yield Conflict("cluster.name", problem, (f"cluster.{given[0]}",))
        return
    for name in ("secret_file", "etcd"):
        if not getattr(cluster, name):
            yield Conflict(f"cluster.{name}", "must be there: cluster.name is", ("cluster.name",))
    if len(cluster.etcd) > MAX_ENDPOINTS:
        yield Conflict("cluster.etcd", f"must be at most {MAX_ENDPOINTS} URLs")
    if len(set(cluster.etcd)) < len(cluster.etcd):
        yield Conflict("cluster.etcd", "has a URL twice")
    for together in _CLUSTER_TOGETHER:
        given = [name for name in together if getattr(cluster, name)]
        for name in together if given else ():
            if name not in given:
                problem = f"must be there: cluster.{given[0]} is"
                yield Conflict(f"cluster.{name}", problem, (f"cluster.{given[0]}",))


MAX_PULLS = 500


def _of_pulls(settings: Settings) -> Iterator[Conflict]:
    seen: dict[str, int] = {}
    for index, pull in enumerate(settings.pulls):
        here = f"pull[{index}]"
        if settings.template(pull.app) is None:
            problem = f'there is no app "{pull.app}"'
            yield Conflict(f"{here}.app", problem, (f"templates.{pull.app}",))
        if pull.stream_id in seen:
            first = f"pull[{seen[pull.stream_id]}]"
            yield Conflict(f"{here}.key", f"is the stream of {first}", (first,))
        seen.setdefault(pull.stream_id, index)
    if len(settings.pulls) > MAX_PULLS:
        yield Conflict("pull", f"must be at most {MAX_PULLS}")


def _of_template(template: Template, path: str) -> Iterator[Conflict]:
    seen: dict[str, str] = {}
    for index, rendition in enumerate(template.renditions):
        here = f"{path}.renditions[{index}]"
        at_name = f"{here}.name"
        if rendition.name == SOURCE:
            yield Conflict(at_name, f'"{SOURCE}" is the stream as published; take another name')
        if rendition.name in seen:
            yield Conflict(at_name, f'"{rendition.name}" is there twice', (seen[rendition.name],))
        seen.setdefault(rendition.name, at_name)
        if rendition.fps is not None and template.gop_ms * rendition.fps < 1000:
            problem = f"a frame lasts longer than the GOP of {template.gop_ms}ms"
            yield Conflict(f"{here}.fps", problem, (f"{path}.gop",))
        if rendition.quality_floor is not None and not template.quality_every_ms:
            problem = "is for streams whose quality is measured"
            yield Conflict(f"{here}.quality_floor", problem, (f"{path}.quality_every",))
        yield from _of_rendition(rendition, here)
    yield from _of_codecs(template, path)
    if template.audio_only == SOURCE:
        problem = f'"{SOURCE}" is the stream as published; take another name'
        yield Conflict(f"{path}.audio_only", problem)
    if template.audio_only in seen:
        problem = f'"{template.audio_only}" is there already'
        yield Conflict(f"{path}.audio_only", problem, (seen[template.audio_only],))
    if len(template.renditions) > MAX_RENDITIONS:
        yield Conflict(f"{path}.renditions", f"must be at most {MAX_RENDITIONS}")
    if len(set(template.policy)) != len(template.policy) or not template.policy:
        yield Conflict(f"{path}.policy", "must name at least one pipeline, and each once")
    elif useless := never_tried(template.policy):
        yield Conflict(f"{path}.policy[{useless[0]}]", useless[1])
    has_keys = template.publish_keys or template.needs_stream_key or template.signing.keys
    is_closed = has_keys or template.hooks.takes(HookEvent.ON_PUBLISH)
    is_open = (Way.OPEN,) in template.publish_rules or not is_closed
    if template.takeover is Takeover.ALWAYS and is_open:
        names = ("publish_keys", "publish_keys_sha256", "stream_keys")
        keys = (*names, "signing", "hooks", "publish_rules")
        yield Conflict(
            f"{path}.takeover",
            '"always" needs publish_keys, signing or hooks: else anyone takes over anyone',
            tuple(f"{path}.{key}" for key in keys),
        )


def _of_stream_keys(template: Template, own: Mapping[str, StreamKeys]) -> Iterator[Conflict]:
    path = f"templates.{template.name}"
    for stream, keys in own.items():
        app, _, name = stream.partition("/")
        if app == template.name and template.needs_stream_key and not keys.publish:
            yield Conflict(
                f"{path}.stream_keys.{name}",
                "nobody could publish it: it has no publish key, and neither has the app",
                (f"{path}.publish_keys", f"{path}.publish_keys_sha256"),
            )


def _of_rules(template: Template, own: Mapping[str, StreamKeys]) -> Iterator[Conflict]:
    of_app = [keys for stream, keys in own.items() if stream.partition("/")[0] == template.name]
    sides: tuple[tuple[str, Rules, bool], ...] = (
        (
            "publish",
            template.publish_rules,
            bool(template.publish_keys) or any(keys.publish for keys in of_app),
        ),
        (
            "play",
            template.play_rules,
            bool(template.play_keys) or any(keys.play for keys in of_app),
        ),
    )
    path = f"templates.{template.name}"
    if template.hooks.url and not template.hooks.secret:
        problem = "is needed where there is a url: by it the hook knows that tfarm asks"
        yield Conflict(f"{path}.hooks.secret", problem, (f"{path}.hooks.url",))
    for side, rules, has_keys in sides:
        if not rules:
            continue
        at, signing = f"{path}.{side}_rules", f"{path}.signing"
        keys = tuple(f"{path}.{name}" for name in (f"{side}_keys", f"{side}_keys_sha256"))
        keys = (*keys, f"{path}.stream_keys")
        ways = {way for rule in rules for way in rule}
        if Way.OPEN in ways and len(rules) > 1:
            yield Conflict(at, '"open" lets everybody in: the other rules are never asked for')
        elif Way.KEY in ways and not has_keys:
            yield Conflict(at, f'"key" lets nobody in: there are no {side}_keys', keys)
        elif has_keys and Way.KEY not in ways:
            yield Conflict(at, f'no rule names "key": {side}_keys would let nobody in', keys)
        event = HookEvent(f"on_{side}")
        if Way.HOOK in ways and not template.hooks.takes(event):
            problem = f'"hook" lets nobody in: hooks has no url, or events without {event.value}'
            yield Conflict(at, problem, (f"{path}.hooks.url", f"{path}.hooks"))
        if Way.SIGNED in ways and not template.signing.keys:
            problem = '"signed" lets nobody in: signing has no keys'
            yield Conflict(at, problem, (f"{signing}.keys", signing))


def _of_codecs(template: Template, path: str) -> Iterator[Conflict]:
    codecs = [rendition.codec for rendition in template.renditions]
    if codecs and VideoCodec.H264 not in codecs:
        yield Conflict(
            f"{path}.renditions",
            'needs one with codec = "h264": it is what players get that name no other codec',
            tuple(f"{path}.renditions[{index}].codec" for index in range(len(codecs))),
        )


def _of_sei(template: Template) -> Iterator[Conflict]:
    if len(template.sei_uuids) > MAX_SEI_UUIDS:
        yield Conflict(f"templates.{template.name}.sei_uuids", f"must be at most {MAX_SEI_UUIDS}")


def of_pushes(template: Template) -> Iterator[Conflict]:
    """What is wrong with an app's pushes."""
    path, names = f"templates.{template.name}", template.rendition_names()
    if len(template.pushes) > MAX_PUSHES:
        yield Conflict(f"{path}.push", f"must be at most {MAX_PUSHES}")
    av1 = {one.name for one in template.renditions if one.codec is VideoCodec.AV1}
    for index, rule in enumerate(template.pushes):
        problem = ""
        if rule.rendition not in names:
            problem = f"there is no such rendition; there are {', '.join(names)}"
        elif rule.rendition in av1:
            problem = "is AV1, which is not sent in transport streams: take one of H.264 or H.265"
        if problem:
            yield Conflict(f"{path}.push[{index}].rendition", problem, (f"{path}.renditions",))


def _of_recording(template: Template) -> Iterator[Conflict]:
    path, names = f"templates.{template.name}", template.rendition_names()
    rule = template.recording
    if rule.directory and not rule.directory.startswith("/"):
        yield Conflict(f"{path}.record.directory", "must be an absolute path")
    if not rule.directory and rule != Recording():
        yield Conflict(f"{path}.record.directory", "must be there: it says where files are written")
    if 0 < rule.rotate_bytes < MIN_ROTATE_BYTES:
        yield Conflict(f"{path}.record.rotate_size", "must be 0, or at least 1MiB")
    yield from _of_upload(rule.upload, f"{path}.record.upload")
    for index, name in enumerate(rule.renditions if rule.directory else ()):
        problem = ""
        if name not in names:
            problem = f"there is no such rendition; there are {', '.join(names)}"
        elif name == template.audio_only:
            problem = "has no pictures, and a file begins with one: take a rendition that has some"
        if problem:
            yield Conflict(f"{path}.record.renditions[{index}]", problem, (f"{path}.renditions",))


def _of_backup(template: Template) -> Iterator[Conflict]:
    path, plain = f"templates.{template.name}", Template(template.name, template.renditions)
    given = {
        "backup_after": template.backup_after_s != plain.backup_after_s,
        "backup_after_black": template.backup_after_black_s is not None,
        "backup_after_silence": template.backup_after_silent_s is not None,
        "backup_return": template.backup_return_s != plain.backup_return_s,
    }
    for name in [name for name, is_given in given.items() if is_given]:
        if not template.takes_backup:
            problem = "is for streams that may have a backup: backup = true"
            yield Conflict(f"{path}.{name}", problem, (f"{path}.backup",))
        elif name == "backup_after_silence" and not template.audio_levels:
            problem = "needs audio_levels = true: else nobody hears that it is silent"
            yield Conflict(f"{path}.{name}", problem, (f"{path}.audio_levels",))


def _of_upload(upload: Upload, path: str) -> Iterator[Conflict]:
    if not upload.bucket and upload != Upload():
        yield Conflict(f"{path}.bucket", "must be there: it says where files are copied to")
    if upload.endpoint and urlsplit(upload.endpoint)[2:] not in (("", "", ""), ("/", "", "")):
        yield Conflict(f"{path}.endpoint", "must have no path and no query: the bucket is a key")
    for name, file in (("credentials", upload.credentials_file), ("ca_file", upload.ca_file)):
        if file and not file.startswith("/"):
            yield Conflict(f"{path}.{name}", "must be an absolute path")


def _of_rendition(rendition: Rendition, path: str) -> Iterator[Conflict]:
    codec = rendition.codec
    at_codec = (f"{path}.codec",)
    if codec is not VideoCodec.H264 and rendition.profile != PROFILE:
        yield Conflict(f"{path}.profile", 'is for codec = "h264": leave it out', at_codec)
    if codec is VideoCodec.AV1:
        for name, side in (("width", rendition.width), ("height", rendition.height)):
            if side < min_side(codec):
                words = f'must be at least {min_side(codec)} with codec = "av1"'
                yield Conflict(f"{path}.{name}", words, at_codec)
        if rendition.rate_control is not RateControl.CBR:
            words = 'must be "cbr" with codec = "av1": SVT-AV1 has no other without a delay'
            yield Conflict(f"{path}.rc", words, at_codec)
        if rendition.bitrate_bps > MAX_AV1_BPS:
            words = f'must be at most {MAX_AV1_BPS // 1_000_000}M with codec = "av1"'
            yield Conflict(f"{path}.bitrate", words, at_codec)
    if rendition.quality is not None and rendition.rate_control is not RateControl.QUALITY:
        yield Conflict(f"{path}.quality", 'is for rc = "quality"', (f"{path}.rc",))
    if rendition.maxrate_bps is None:
        return
    at, others = f"{path}.maxrate", (f"{path}.rc", f"{path}.bitrate")
    if rendition.rate_control is not RateControl.VBR:
        words = f'is for rc = "vbr"; with "{rendition.rate_control}" the bitrate is the most'
        yield Conflict(at, words, others[:1])
    elif rendition.maxrate_bps < rendition.bitrate_bps:
        yield Conflict(at, "must be at least the bitrate", others)


def _meet(path: str, faulty: str) -> bool:
    """Say whether one of two paths is the other, or lies inside it."""
    long, short = (path, faulty) if len(path) >= len(faulty) else (faulty, path)
    return long == short or long.startswith((f"{short}.", f"{short}["))

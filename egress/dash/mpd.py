"""The description of a presentation (MPD), as text. Pure.

Section numbers are of ISO/IEC 23009-1. A segment's number is that of the stream's epoch, and its
stream time divided by the template's `gop`; `availabilityStartTime` is the epoch, when stream time
was 0: so players know each
segment's address and time without asking again, and a description changes with what is published
alone. A period is what has one configuration.

What happens in a period, splices by SCTE-35 and cue points, is in event streams (5.10.2); a splice
has its section in base64 (SCTE 214-1, 6.7.4). Their times are from the period's begin.

`$Number$.m4s` can be asked for as soon as its first part is there, and then comes as it is made:
`availabilityTimeOffset` says so, for players that want low latency.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from html import escape
from typing import Final

CONTENT_TYPE: Final = "application/dash+xml"
PROFILES: Final = "urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019"
SCALE: Final = 1000  # of numbers in templates: stream time is in ms
UPDATE_S: Final = 2.0  # that players wait before they ask for another description
DELAY_SEGMENTS: Final = 3  # behind the newest, for players that take whole segments
LATENCY_PARTS: Final = 3  # for those that take parts: as many behind, and …
LATENCY_S: Final = 0.5  # … this
TIME_URI: Final = "../../time"  # of `/APP/KEY/index.mpd`: the clock by which its times are told
SPLICES: Final = "urn:scte:scte35:2014:xml+bin"
CUES: Final = "urn:tfarm:onCuePoint"
_SIGNAL: Final = "http://www.scte.org/schemas/35/2016"
_H264: Final = "avc1"
_SET_IDS: Final = ("1", "3", "4")  # of pictures, a set each codec; 2 is the sound's
_CHANNELS: Final = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011"
_ROLE: Final = "urn:mpeg:dash:role:2011"


@dataclass(frozen=True, slots=True)
class Pictures:
    """A rendition in one period."""

    name: str
    init_id: str
    codec: str  # RFC 6381
    bandwidth_bps: int
    width: int
    height: int
    sample_aspect: Fraction = Fraction(1)
    fps: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Sound:
    """The sound of all renditions in one period."""

    name: str
    init_id: str
    codec: str
    bandwidth_bps: int
    sample_rate: int
    channels: int
    language: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """Something at one moment: a splice's section, or what else is told as text."""

    at_ms: int  # stream time
    number: int  # of 32 bits; the same one for the same event
    section: bytes = b""
    text: str = ""
    duration_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Period:
    """What has one configuration, from a segment on."""

    first_msn: int
    end_msn: int | None  # the first one that is not of it; None: it goes on
    pictures: Sequence[Pictures]
    sound: Sound | None
    splices: Sequence[Event] = ()
    cues: Sequence[Event] = ()


@dataclass(frozen=True, slots=True)
class Presentation:
    """All that is described."""

    gop_ms: int
    unix_offset_s: float  # from stream time to Unix time
    window_s: float  # that can be asked for
    part_s: float  # the longest part
    periods: Sequence[Period]
    ended_ms: int | None = None  # stream time; None: it goes on
    base_msn: int = 0  # of the segment that begins at stream time 0

    def begin_ms(self, period: Period) -> int:
        """The stream time that a period begins at."""
        return (period.first_msn - self.base_msn) * self.gop_ms


def description(found: Presentation, now_unix_s: float, query: str = "", location: str = "") -> str:
    """The MPD for a viewer, with his own query (without "?") in each address.

    `location`: where he asks for it again.
    """
    gop_s = found.gop_ms / 1000
    latency_ms = round(1000 * (LATENCY_PARTS * found.part_s + LATENCY_S))
    attributes = {
        "xmlns": "urn:mpeg:dash:schema:mpd:2011",
        "type": "dynamic",
        "profiles": PROFILES,
        "availabilityStartTime": date(found.unix_offset_s),
        "publishTime": date(now_unix_s),
        "minBufferTime": duration(gop_s),
        "timeShiftBufferDepth": duration(found.window_s),
        "suggestedPresentationDelay": duration(min(DELAY_SEGMENTS * gop_s, found.window_s)),
        "maxSegmentDuration": duration(gop_s),
    }
    if found.ended_ms is None:
        attributes["minimumUpdatePeriod"] = duration(UPDATE_S)
    else:
        attributes["mediaPresentationDuration"] = duration(found.ended_ms / 1000)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        _tag("MPD", attributes, is_open=True),
        *([f"<Location>{escape(location)}</Location>"] if location else []),
        '<ServiceDescription id="0">',
        _tag(
            "Latency",
            {
                "referenceId": "0",
                "target": str(latency_ms),
                # no "min": shaka 5.2 counts from where it may seek to, and would slow down
                "max": str(3 * latency_ms),
            },
        ),
        '<PlaybackRate min="0.96" max="1.04"/>',
        "</ServiceDescription>",
    ]
    for period in found.periods:
        lines += _period(found, period, query)
    lines += [
        _tag("UTCTiming", {"schemeIdUri": "urn:mpeg:dash:utc:http-iso:2014", "value": TIME_URI}),
        _tag(
            "UTCTiming",
            {"schemeIdUri": "urn:mpeg:dash:utc:direct:2014", "value": date(now_unix_s)},
        ),
        "</MPD>",
        "",
    ]
    return "\n".join(lines)


def date(unix_s: float) -> str:
    """A moment with milliseconds, as XML has it."""
    moment = datetime.fromtimestamp(round(unix_s, 3), UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def duration(seconds: float) -> str:
    """A duration, as XML has it."""
    return f"PT{seconds:.3f}S"


def _period(found: Presentation, period: Period, query: str) -> list[str]:
    begin_ms = found.begin_ms(period)
    attributes = {"id": str(period.first_msn), "start": duration(begin_ms / 1000)}
    if period.end_msn is not None:
        length_ms = (period.end_msn - period.first_msn) * found.gop_ms
        attributes["duration"] = duration(length_ms / 1000)
    lines = [_tag("Period", attributes, is_open=True)]
    for scheme, events in ((SPLICES, period.splices), (CUES, period.cues)):
        if events:
            lines += _events(scheme, events, begin_ms)
    clock = [
        _tag(
            "ProducerReferenceTime",
            {
                "id": "0",
                "type": "captured",
                "wallClockTime": date(found.unix_offset_s + begin_ms / 1000),
                "presentationTime": str(begin_ms),
            },
            is_open=True,
        ),
        _tag("UTCTiming", {"schemeIdUri": "urn:mpeg:dash:utc:http-iso:2014", "value": TIME_URI}),
        "</ProducerReferenceTime>",
    ]
    for number, pictures in enumerate(_by_codec(period.pictures)):
        attributes = _of_pictures(pictures, _SET_IDS[number])
        lines.append(_tag("AdaptationSet", attributes, is_open=True))
        lines += [*clock, _tag("Role", {"schemeIdUri": _ROLE, "value": "main"})]
        for one in pictures:
            lines.append(_tag("Representation", _of_rendition(one), is_open=True))
            lines += [_template(found, period, one.name, one.init_id, query), "</Representation>"]
        lines.append("</AdaptationSet>")
    if period.sound is not None:
        lines += _sound(found, period, period.sound, clock, query)
    lines.append("</Period>")
    return lines


def _events(scheme: str, events: Sequence[Event], begin_ms: int) -> list[str]:
    stream = {"schemeIdUri": scheme, "timescale": str(SCALE)}
    lines = [_tag("EventStream", stream, is_open=True)]
    for event in events:
        attributes = {"presentationTime": str(max(0, event.at_ms - begin_ms))}
        if event.duration_ms is not None:
            attributes["duration"] = str(event.duration_ms)
        attributes["id"] = str(event.number)
        if event.text:
            attributes["messageData"] = event.text
        lines.append(_tag("Event", attributes, is_open=bool(event.section)))
        if event.section:
            binary = b64encode(event.section).decode()
            lines += [f'<Signal xmlns="{_SIGNAL}"><Binary>{binary}</Binary></Signal>', "</Event>"]
    return [*lines, "</EventStream>"]


def _by_codec(pictures: Sequence[Pictures]) -> list[list[Pictures]]:
    """The renditions of each codec, H.264 first: nobody goes from one codec to another."""
    found: dict[str, list[Pictures]] = {}
    for one in pictures:
        found.setdefault(one.codec.partition(".")[0], []).append(one)
    return [found[name] for name in sorted(found, key=lambda name: name != _H264)]


def _of_pictures(pictures: Sequence[Pictures], number: str) -> dict[str, str]:
    """The attributes that the renditions of a set share: players may go from each to each."""
    attributes = {
        "id": number,
        "contentType": "video",
        "mimeType": "video/mp4",
        "segmentAlignment": "true",
        "startWithSAP": "1",
        "maxWidth": str(max(one.width for one in pictures)),
        "maxHeight": str(max(one.height for one in pictures)),
    }
    rates = [one.fps for one in pictures if one.fps is not None]
    if rates:
        attributes["maxFrameRate"] = _rate(max(rates))
    return attributes


def _of_rendition(one: Pictures) -> dict[str, str]:
    aspect = one.sample_aspect
    attributes = {
        "id": one.name,
        "bandwidth": str(one.bandwidth_bps),
        "codecs": one.codec,
        "width": str(one.width),
        "height": str(one.height),
        "sar": f"{aspect.numerator}:{aspect.denominator}",
    }
    if one.fps is not None:
        attributes["frameRate"] = _rate(one.fps)
    return attributes


def _sound(
    found: Presentation, period: Period, sound: Sound, clock: Sequence[str], query: str
) -> list[str]:
    attributes = {
        "id": "2",
        "contentType": "audio",
        "mimeType": "audio/mp4",
        "segmentAlignment": "true",
        "startWithSAP": "1",
        **({"lang": sound.language} if sound.language else {}),
    }
    representation = {
        "id": sound.name,
        "bandwidth": str(sound.bandwidth_bps),
        "codecs": sound.codec,
        "audioSamplingRate": str(sound.sample_rate),
    }
    channels = {"schemeIdUri": _CHANNELS, "value": str(sound.channels)}
    return [
        _tag("AdaptationSet", attributes, is_open=True),
        *clock,
        _tag("Role", {"schemeIdUri": _ROLE, "value": "main"}),
        _tag("Representation", representation, is_open=True),
        _tag("AudioChannelConfiguration", channels),
        _template(found, period, sound.name, sound.init_id, query),
        "</Representation>",
        "</AdaptationSet>",
    ]


def _template(found: Presentation, period: Period, name: str, init_id: str, query: str) -> str:
    behind = f"?{query}".replace("$", "$$") if query else ""
    attributes = {
        "timescale": str(SCALE),
        "duration": str(found.gop_ms),
        "startNumber": str(period.first_msn),
        "presentationTimeOffset": str(found.begin_ms(period)),
        "initialization": f"{name}/init-{init_id}.mp4{behind}",
        "media": f"{name}/$Number$.m4s{behind}",
    }
    early_s = found.gop_ms / 1000 - found.part_s
    if found.ended_ms is None and early_s > 0:
        attributes["availabilityTimeOffset"] = f"{early_s:.3f}"
        attributes["availabilityTimeComplete"] = "false"
    return _tag("SegmentTemplate", attributes)


def _rate(fps: Fraction) -> str:
    return str(fps.numerator) if fps.denominator == 1 else f"{fps.numerator}/{fps.denominator}"


def _tag(name: str, attributes: dict[str, str], *, is_open: bool = False) -> str:
    inside = "".join(f' {key}="{escape(value)}"' for key, value in attributes.items())
    return f"<{name}{inside}{'' if is_open else '/'}>"

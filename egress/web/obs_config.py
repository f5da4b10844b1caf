"""What OBS's multitrack video is told to encode: a template's ladder, as OBS reads it. Pure.

OBS asks its service's configuration URL by a POST of what it has and can (`GoLiveApi::PostData`),
and does what the answer says (`GoLiveApi::Config`): frontend/utility/models/multitrack-video.hpp of
obs-studio, read at commit f86e9c1d. Members that OBS's parser needs are all there, others are left
out: `meta.config_id` is empty, so that nothing is added to the stream key.

The first track is what is published, the others are renditions: so many of them as the client's
encoders and limits allow, the largest first, since these cost a farm most.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any, Final

from common.config.ladder import RenditionFormat, SourceFormat, Template, fit_ladder
from common.media.units import VideoCodec

SCHEMA: Final = "2025-01-25"
MAX_SIDE: Final = 8192
MAX_FPS: Final = 240
BITS_A_PIXEL: Final = 0.1  # of the first track, where the template has no rendition to go by
AUDIO_KBPS: Final = 160
_SERVER: Final = re.compile(
    r"rtmps?://(?:[A-Za-z0-9.-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?"
)

NVIDIA, AMD, INTEL = 0x10DE, 0x1002, 0x8086
_X264: Final = "obs_x264"
_WINDOWS: Final = "windows"
# OBS's encoders by the GPU's vendor, and how many of them may run at once: GeForce drivers allow 8.
# Those that may be missing where the GPU is there are not asked for: OBS gives up without one.
_ENCODERS: Final[Mapping[int, tuple[Mapping[VideoCodec, str], int]]] = {
    NVIDIA: (
        {VideoCodec.H264: "obs_nvenc_h264_tex", VideoCodec.H265: "obs_nvenc_hevc_tex"},
        8,
    ),
    AMD: ({VideoCodec.H264: "h264_texture_amf"}, 4),
    INTEL: ({VideoCodec.H264: "obs_qsv11_v2"}, 4),
}
CORES_A_TRACK: Final = 4  # of x264
_NO_B_FRAMES: Final[Mapping[str, Mapping[str, Any]]] = {
    _X264: {"x264opts": "bframes=0", "preset": "veryfast"},
    "obs_qsv11_v2": {"bframes": 0},
}

Json = dict[str, Any]


class Unreadable(ValueError):
    """What was sent is no request of OBS: why."""


@dataclass(frozen=True, slots=True)
class Client:
    """One OBS: what it composes, and what it can encode."""

    width: int  # of the canvas's output, in samples
    height: int
    fps: Fraction
    encoders: Mapping[VideoCodec, str]  # OBS's names
    most_tracks: int
    most_bps: int | None = None  # all tracks together; None: no limit
    channels: int = 2
    has_vod_track: bool = False  # it sends a second track of sound


def read_client(body: bytes) -> Client:
    """The client of a POST. Raises Unreadable."""
    try:
        document = json.loads(body)
    except ValueError:
        raise Unreadable("this takes OBS's request: JSON") from None
    preferences = _object(document, "preferences")
    canvases = preferences.get("canvases")
    if not isinstance(canvases, list) or not canvases:
        raise Unreadable("preferences.canvases: a list with a canvas is missing")
    canvas = canvases[0]
    rate = _object(canvas, "framerate")
    fps = Fraction(_whole(rate, "numerator", 1_000_000), _whole(rate, "denominator", 1_000_000))
    if not 1 <= fps <= MAX_FPS:
        raise Unreadable(f"framerate: must be between 1 and {MAX_FPS}")
    capabilities = document.get("capabilities")
    encoders, most = _encoders(capabilities, preferences, _codecs(document))
    most = min(most, _count(preferences.get("maximum_video_tracks")) or most)
    most_kbps = _count(preferences.get("maximum_aggregate_bitrate"))
    channels = _count(preferences.get("audio_channels")) or 2
    return Client(
        _whole(canvas, "width", MAX_SIDE),
        _whole(canvas, "height", MAX_SIDE),
        fps,
        encoders,
        most,
        most_kbps * 1000 if most_kbps is not None else None,
        min(channels, 8),
        preferences.get("vod_track_audio") is True,
    )


def client_of_query(query: Mapping[str, str]) -> Client:
    """The client of a GET: `width`, `height`, `fps`, `encoder`, `tracks`. Raises Unreadable."""
    try:
        width, height = int(query.get("width", "1920")), int(query.get("height", "1080"))
        fps, most = Fraction(query.get("fps", "30")), int(query.get("tracks", "8"))
    except (ValueError, ZeroDivisionError):
        raise Unreadable("width, height, fps and tracks are numbers") from None
    is_size = 16 <= width <= MAX_SIDE and 16 <= height <= MAX_SIDE
    if not is_size or not 1 <= fps <= MAX_FPS or not 1 <= most <= 10:
        raise Unreadable("width, height, fps or tracks is out of range")
    encoder = query.get("encoder", "obs_nvenc_h264_tex")
    known = {_X264} | {name for names, _ in _ENCODERS.values() for name in names.values()}
    if encoder not in known:
        raise Unreadable(f"encoder: one of {', '.join(sorted(known))}")
    codec = VideoCodec.H265 if "hevc" in encoder else VideoCodec.H264
    return Client(width, height, fps, {codec: encoder}, most)


def answer(client: Client, template: Template, servers: Sequence[str]) -> Json:
    """What the client is to do; `servers` as `rtmp://HOST:PORT`, the best first."""
    tracks = tracks_of(client, template)
    audio = {"live": [_audio(1, client.channels)]}
    if client.has_vod_track:
        audio["vod"] = [_audio(2, client.channels)]
    return {
        "meta": {"service": "tfarm", "schema_version": SCHEMA, "config_id": ""},
        "status": {"result": "success"},
        "ingest_endpoints": [
            {
                "protocol": server.partition("://")[0].upper(),
                "url_template": f"{server}/{template.name}/{{stream_key}}",
            }
            for server in servers
        ],
        "encoder_configurations": tracks,
        "audio_configurations": audio,
    }


def refusal(words: str) -> Json:
    """What OBS shows, and does not stream."""
    return {
        "meta": {"service": "tfarm", "schema_version": SCHEMA, "config_id": ""},
        "status": {"result": "error", "html_en_us": words},
    }


def is_server(text: str) -> bool:
    """Whether this is an address as `answer` takes it."""
    return _SERVER.fullmatch(text) is not None


def tracks_of(client: Client, template: Template) -> list[Json]:
    """The encoders of all tracks, the first track's first."""
    source = SourceFormat(client.width, client.height, fps=client.fps)
    ladder = [one for one in fit_ladder(template, source).renditions if _is_made(one, client)]
    first = next((one for one in ladder if _is_whole(one, source)), None)
    codec = first.codec if first is not None else next(iter(client.encoders))
    bitrate_bps = first.bitrate_bps if first is not None else _first_bps(source, ladder, template)
    profile = first.profile if first is not None else "high"
    keyint_s = max(1, template.gop_ms // 1000)
    size = client.width, client.height
    tracks = [_encoder(client, codec, size, client.fps, bitrate_bps, keyint_s, profile)]
    left_bps = client.most_bps - bitrate_bps if client.most_bps is not None else None
    for one in ladder:
        if one is first or len(tracks) >= client.most_tracks or template.gop_ms < 1000:
            continue
        if left_bps is not None:
            if one.bitrate_bps > left_bps:
                continue
            left_bps -= one.bitrate_bps
        own = one.width, one.height
        fps = _divided(client.fps, one.fps)
        bps = one.bitrate_bps
        tracks.append(_encoder(client, one.codec, own, fps, bps, keyint_s, one.profile))
    return tracks


def _encoder(
    client: Client,
    codec: VideoCodec,
    size: tuple[int, int],
    fps: Fraction,
    bitrate_bps: int,
    keyint_s: int,
    profile: str,
) -> Json:
    kind = client.encoders[codec]
    return {
        "type": kind,
        "width": size[0],
        "height": size[1],
        "framerate": {"numerator": fps.numerator, "denominator": fps.denominator},
        "colorspace": "VIDEO_CS_709",
        "range": "VIDEO_RANGE_PARTIAL",
        "format": "VIDEO_FORMAT_NV12",
        "canvas_index": 0,
        "settings": {
            "rate_control": "CBR",
            "bitrate": bitrate_bps // 1000,
            "keyint_sec": keyint_s,
            "profile": profile if codec is VideoCodec.H264 else "main",
            **_NO_B_FRAMES.get(kind, {"bf": 0, "lookahead": False}),
        },
    }


def _is_made(one: RenditionFormat, client: Client) -> bool:
    return one.codec in client.encoders and not one.is_letterboxed


def _is_whole(one: RenditionFormat, source: SourceFormat) -> bool:
    """Whether a rendition is all of the source."""
    has_rate = one.fps is None or source.fps is None or one.fps >= source.fps
    return (one.width, one.height) == (source.width, source.height) and has_rate


def _first_bps(source: SourceFormat, ladder: Sequence[RenditionFormat], template: Template) -> int:
    """What the first track is to have: as many bits a pixel as the largest rendition."""
    pixels = source.width * source.height * float(source.fps or 30)
    bits = BITS_A_PIXEL
    if ladder:
        largest = ladder[0]
        fps = float(min(largest.fps or source.fps or 30, source.fps or 30))
        bits = largest.bitrate_bps / (largest.width * largest.height * fps)
    most_bps = template.limits.bitrate_bps
    found = max(500_000, round(pixels * bits))
    return min(found, int(most_bps * 0.9)) if most_bps else found


def _divided(fps: Fraction, most: Fraction | None) -> Fraction:
    """The highest rate up to `most` that OBS makes of its own: by leaving pictures out evenly."""
    return fps if most is None or most >= fps else fps / ceil(fps / most)


def _audio(track_id: int, channels: int) -> Json:
    settings = {"bitrate": AUDIO_KBPS}
    return {"codec": "aac", "track_id": track_id, "channels": channels, "settings": settings}


def _encoders(
    capabilities: object, preferences: Json, codecs: Sequence[str]
) -> tuple[Mapping[VideoCodec, str], int]:
    """The encoders of the GPU that composes, and how many may run at once."""
    found = capabilities if isinstance(capabilities, dict) else {}
    gpus = found.get("gpu")
    index = preferences.get("composition_gpu_index")
    at = index if isinstance(index, int) and not isinstance(index, bool) else 0
    gpu = gpus[at] if isinstance(gpus, list) and 0 <= at < len(gpus) else None
    vendor = gpu.get("vendor_id") if isinstance(gpu, dict) else None
    system = found.get("system")
    name = system.get("name") if isinstance(system, dict) else ""
    is_windows = isinstance(name, str) and name.lower() == _WINDOWS
    if isinstance(vendor, int) and vendor in _ENCODERS and (vendor == NVIDIA or is_windows):
        names, most = _ENCODERS[vendor]
        labels = {VideoCodec.H264: "h264", VideoCodec.H265: "h265"}
        usable = {codec: kind for codec, kind in names.items() if labels[codec] in codecs}
        if VideoCodec.H264 in usable:
            return usable, most
    cpu = found.get("cpu")
    cores = _count(cpu.get("logical_cores") if isinstance(cpu, dict) else None) or 1
    return {VideoCodec.H264: _X264}, max(1, min(8, cores // CORES_A_TRACK))


def _codecs(document: Json) -> Sequence[str]:
    client = document.get("client")
    codecs = client.get("supported_codecs") if isinstance(client, dict) else None
    return [one for one in codecs if isinstance(one, str)] if isinstance(codecs, list) else ["h264"]


def _object(document: object, name: str) -> Json:
    found = document.get(name) if isinstance(document, dict) else None
    if not isinstance(found, dict):
        raise Unreadable(f"{name}: an object is missing")
    return found


def _whole(document: Json, name: str, most: int) -> int:
    found = document.get(name)
    if not isinstance(found, int) or isinstance(found, bool) or not 1 <= found <= most:
        raise Unreadable(f"{name}: must be a whole number from 1 to {most}")
    return found


def _count(value: object) -> int | None:
    """A number from 1 on; None: it is none, as where OBS leaves a member null."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 1 <= value <= 10**9 else None

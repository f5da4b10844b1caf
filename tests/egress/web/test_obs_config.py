"""egress/web/obs_config.py: what OBS's multitrack video is told, by what its parser takes."""

import json
from copy import deepcopy
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.config.ladder import Rendition, RenditionFit, SourceFormat, Template, fit_ladder
from common.config.limits import StreamLimits
from common.media.units import VideoCodec, VideoConfig
from egress.web.obs_config import (
    AMD,
    INTEL,
    NVIDIA,
    Client,
    Unreadable,
    answer,
    client_of_query,
    is_server,
    read_client,
    refusal,
    tracks_of,
)
from ingest.streams.passed_tracks import PassedTracks

TEMPLATE = Template(
    "live",
    (
        Rendition("1080p", 1920, 1080, 6_000_000, fps=Fraction(60)),
        Rendition("720p", 1280, 720, 3_000_000),
        Rendition("480p", 854, 480, 1_200_000),
    ),
)
X264 = {VideoCodec.H264: "obs_x264"}
SERVER = "rtmp://farm.example:1935"


# What OBS 31 posts on Windows (`GoLiveApi::PostData`).
OBS: dict[str, Any] = {
    "service": "IVS",
    "schema_version": "2025-01-25",
    "authentication": "cam1",
    "client": {
        "name": "obs-studio",
        "version": "31.1.0",
        "supported_codecs": ["h264", "h265", "av1"],
    },
    "capabilities": {
        "cpu": {"physical_cores": 8, "logical_cores": 16, "speed": 3600, "name": "a CPU"},
        "memory": {"total": 34_359_738_368, "free": 17_179_869_184},
        "gaming_features": None,
        "system": {
            "version": "10.0",
            "name": "Windows",
            "build": 22631,
            "release": "23H2",
            "revision": "4460",
            "bits": 64,
            "arm": False,
            "armEmulation": False,
        },
        "gpu": [
            {
                "model": "a GPU",
                "vendor_id": NVIDIA,
                "device_id": 9860,
                "dedicated_video_memory": 12_600_000_000,
                "shared_system_memory": 17_000_000_000,
                "driver_version": "32.0.15.6636",
            }
        ],
    },
    "preferences": {
        "maximum_aggregate_bitrate": None,
        "maximum_video_tracks": None,
        "vod_track_audio": False,
        "composition_gpu_index": 0,
        "audio_samples_per_sec": 48000,
        "audio_channels": 2,
        "audio_max_buffering_ms": 960,
        "audio_fixed_buffering": False,
        "canvases": [
            {
                "width": 1920,
                "height": 1080,
                "canvas_width": 2560,
                "canvas_height": 1440,
                "framerate": {"numerator": 60, "denominator": 1},
            }
        ],
    },
}


def posted(**changes: Any) -> bytes:
    """What OBS posts, with other members."""
    document = deepcopy(OBS)
    for path, value in changes.items():
        *parts, last = path.split("__")
        inner: Any = document
        for part in parts:
            inner = inner[int(part)] if part.isdigit() else inner[part]
        inner[last] = value
    return json.dumps(document).encode()


def check(document: dict[str, Any]) -> None:
    """What OBS's parser throws at, or gives up for, where it is missing or of another type.

    By frontend/utility/models/multitrack-video.hpp: `Meta` and `AudioEncoderConfiguration` have no
    defaults; and `create_video_encoders`, `create_audio_encoders`.
    """
    for name in ("service", "schema_version", "config_id"):
        assert isinstance(document["meta"][name], str)
    assert document["encoder_configurations"]
    for track in document["encoder_configurations"]:
        assert isinstance(track["type"], str)
        assert track["canvas_index"] == 0
        assert {type(track[name]) for name in ("width", "height")} == {int}
        assert {type(one) for one in track["framerate"].values()} == {int}
        assert set(track["framerate"]) == {"numerator", "denominator"}
        assert isinstance(track["settings"], dict)
    for tracks in document["audio_configurations"].values():
        assert tracks
        for track in tracks:
            assert set(track) == {"codec", "track_id", "channels", "settings"}
    for endpoint in document["ingest_endpoints"]:
        assert endpoint["protocol"] in ("RTMP", "RTMPS")
        assert endpoint["url_template"].endswith("/{stream_key}")


def sizes(client: Client, template: Template = TEMPLATE) -> list[tuple[int, float, int]]:
    return [
        (
            one["height"],
            one["framerate"]["numerator"] / one["framerate"]["denominator"],
            one["settings"]["bitrate"],
        )
        for one in tracks_of(client, template)
    ]


def test_obs_is_told_the_ladder_with_the_first_track_as_its_top() -> None:
    document = answer(read_client(posted()), TEMPLATE, [SERVER])
    check(document)
    assert document["status"] == {"result": "success"}
    assert document["ingest_endpoints"] == [
        {"protocol": "RTMP", "url_template": "rtmp://farm.example:1935/live/{stream_key}"}
    ]
    first, *_ = document["encoder_configurations"]
    assert first["type"] == "obs_nvenc_h264_tex"
    assert first["settings"] == {
        "rate_control": "CBR",
        "bitrate": 6000,
        "keyint_sec": 2,
        "profile": "main",
        "bf": 0,
        "lookahead": False,
    }
    assert sizes(read_client(posted())) == [(1080, 60, 6000), (720, 30, 3000), (480, 30, 1200)]


def test_a_farm_passes_what_it_has_asked_for() -> None:
    """Whoever does as told publishes tracks that stand in for all these renditions."""
    client = read_client(posted())
    passed = PassedTracks(TEMPLATE)
    configs = [
        VideoConfig(
            VideoCodec.H264, b"", track["width"], track["height"], fps=Fraction(*_rate(track))
        )
        for track in tracks_of(client, TEMPLATE)
    ]
    passed.on_source(SourceFormat(1920, 1080, fps=Fraction(60)), configs[0], 0.0)
    for number, config in enumerate(configs[1:], 1):
        passed.configure(number, config, configs[0], 0.0)
    assert passed.names == ("1080p", "480p", "720p")


def _rate(track: dict[str, Any]) -> tuple[int, int]:
    return track["framerate"]["numerator"], track["framerate"]["denominator"]


@pytest.mark.parametrize(
    ("changes", "kind", "tracks"),
    [
        ({}, "obs_nvenc_h264_tex", 3),
        ({"capabilities__system__name": "Linux"}, "obs_nvenc_h264_tex", 3),
        ({"capabilities__gpu__0__vendor_id": AMD}, "h264_texture_amf", 3),
        ({"capabilities__gpu__0__vendor_id": INTEL}, "obs_qsv11_v2", 3),
        (
            {"capabilities__gpu__0__vendor_id": INTEL, "capabilities__system__name": "Linux"},
            "obs_x264",
            3,
        ),
        ({"capabilities__gpu": None, "capabilities__cpu__logical_cores": 8}, "obs_x264", 2),
        ({"capabilities__gpu": [], "capabilities__cpu__logical_cores": 2}, "obs_x264", 1),
        ({"preferences__composition_gpu_index": 3}, "obs_x264", 3),
        ({"client__supported_codecs": []}, "obs_x264", 3),
        ({"preferences__maximum_video_tracks": 2}, "obs_nvenc_h264_tex", 2),
        # the 720p of 3 Mbit/s fits not, the 480p does
        ({"preferences__maximum_aggregate_bitrate": 8000}, "obs_nvenc_h264_tex", 2),
        ({"preferences__maximum_aggregate_bitrate": 1000}, "obs_nvenc_h264_tex", 1),
    ],
)
def test_what_is_asked_for_is_within_what_the_client_can(
    changes: dict[str, Any], kind: str, tracks: int
) -> None:
    found = tracks_of(read_client(posted(**changes)), TEMPLATE)
    assert ({one["type"] for one in found}, len(found)) == ({kind}, tracks)


def test_h265_renditions_are_asked_for_where_nvenc_makes_them() -> None:
    both = replace(
        TEMPLATE,
        renditions=(*TEMPLATE.renditions, Rendition("h", 1280, 720, 10**6, codec=VideoCodec.H265)),
    )
    kinds = [one["type"] for one in tracks_of(read_client(posted()), both)]
    assert kinds.count("obs_nvenc_hevc_tex") == 1
    without = read_client(posted(client__supported_codecs=["h264"]))
    assert "obs_nvenc_hevc_tex" not in [one["type"] for one in tracks_of(without, both)]


def test_a_first_track_that_is_no_rendition_has_as_many_bits_a_pixel() -> None:
    client = Client(2560, 1440, Fraction(60), X264, 8)
    kbps = 6000 * (2560 * 1440) // (1920 * 1080)
    assert sizes(client)[0] == (1440, 60, kbps)
    limited = replace(TEMPLATE, limits=StreamLimits(bitrate_bps=5_000_000))
    assert sizes(client, limited)[0][2] == 4500
    assert sizes(client, replace(TEMPLATE, renditions=()))[0][0] == 1440


@pytest.mark.parametrize(
    ("fps", "made"),
    [("60", 30), ("50", 25), ("30", 30), ("25", 25), ("120", 30), ("60000/1001", 29.97)],
)
def test_a_rate_is_one_that_obs_divides_its_own_to(fps: str, made: float) -> None:
    found = sizes(Client(1920, 1080, Fraction(fps), X264, 8))
    assert made in [round(rate, 2) for _, rate, _ in found]


def test_what_could_not_stand_in_is_not_asked_for() -> None:
    boxed = replace(TEMPLATE, fit=RenditionFit.BOX)
    client = Client(1440, 1080, Fraction(30), X264, 8)
    assert all(one.is_letterboxed for one in fit_ladder(boxed, SourceFormat(1440, 1080)).renditions)
    assert len(sizes(client, boxed)) == 1
    assert len(sizes(client, replace(TEMPLATE, gop_ms=500))) == 1, "OBS counts whole seconds"


def test_a_second_track_of_sound_has_a_configuration_where_obs_sends_one() -> None:
    document = answer(read_client(posted(preferences__vod_track_audio=True)), TEMPLATE, [SERVER])
    check(document)
    assert [one["track_id"] for one in document["audio_configurations"]["vod"]] == [2]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "JSON"),
        (b"\xff", "JSON"),
        (b"[]", "preferences"),
        (b'{"preferences": 1}', "preferences"),
        (posted(preferences__canvases=[]), "canvases"),
        (posted(preferences__canvases__0__width=0), "width"),
        (posted(preferences__canvases__0__height="1080"), "height"),
        (posted(preferences__canvases__0__framerate=30), "framerate"),
        (posted(preferences__canvases__0__framerate__denominator=0), "denominator"),
        (posted(preferences__canvases__0__framerate__numerator=1000), "framerate"),
    ],
)
def test_what_is_no_request_is_refused_in_words(body: bytes, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        read_client(body)


def test_a_person_asks_by_a_query() -> None:
    client = client_of_query({"width": "1280", "height": "720", "fps": "60", "tracks": "1"})
    assert sizes(client) == [(720, 60, 6000)]
    for query in ({"fps": "x"}, {"width": "1"}, {"fps": "1/0"}, {"encoder": "magic"}):
        with pytest.raises(Unreadable):
            client_of_query(query)


_NAMES = ["preferences", "canvases", "capabilities", "gpu", "client", "width"]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=4)
    ),
)


@given(_JSON)
def test_any_json_is_read_or_refused(document: object) -> None:
    try:
        client = read_client(json.dumps(document).encode())
    except Unreadable:
        return
    check(answer(client, TEMPLATE, [SERVER]))


def test_a_refusal_is_what_obs_shows() -> None:
    assert refusal("no")["status"] == {"result": "error", "html_en_us": "no"}


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("rtmp://farm.example", True),
        ("rtmps://[2001:db8::1]:443", True),
        ("http://farm.example", False),
        ("rtmp://farm.example/app", False),
        ("rtmp://a b", False),
    ],
)
def test_a_server_is_a_scheme_a_host_and_a_port(text: str, *, is_one: bool) -> None:
    assert is_server(text) is is_one

"""What the banner, check and doctor say of a host's room."""

from dataclasses import replace
from fractions import Fraction

from common.config.ladder import Pipeline, Rendition, Template
from common.config.settings import DEFAULT_RENDITIONS, Settings, Software
from supervisor.commands.doctor.room import (
    PlannedGpu,
    check_lines,
    planned_fleet,
    room_lines,
    streams_here,
)
from supervisor.placement.cost import FULL_HD30

B1 = Template(
    "live",
    (
        Rendition("1080p60", 1920, 1080, 6_000_000, Fraction(60)),
        Rendition("480p", 854, 480, 1_000_000, Fraction(30)),
    ),
)
L4 = PlannedGpu("GPU-1", "00000000:65:00.0", "NVIDIA L4", 24 << 30)


def settings_of(*templates: Template) -> Settings:
    return replace(Settings(), templates=templates)


def test_check_says_what_a_stream_costs_what_is_reserved_and_how_many_fit() -> None:
    assert check_lines(settings_of(B1), 2) == [
        "this host: 2 cores, counted as 200 units",
        'app "live": 1080p60, 480p, source',
        "  1920x1080@60 (max_source): 155.4 units a stream, the host's cores have room for 1",
        "  1280x720@30 (720p30): 16.4 units a stream, the host's cores have room for 12",
        "  reserved before the size of a source is known: 0.083 units, as for 160x90 at 5 fps; "
        "its real cost is booked at its first header",
    ]


def test_check_says_what_a_gpu_holds_if_it_encodes() -> None:
    lines = check_lines(settings_of(B1), 2, [L4])
    assert (
        "  1920x1080@60 (max_source): 155.4 units a stream, the host's cores have room for 1"
        in (lines[2].split(", NVIDIA")[0])
    )
    assert "NVIDIA L4 00000000:65:00.0, if its NVENC works, for 5" in lines[2]


def test_check_of_small_sources_and_of_no_renditions_is_as_short() -> None:
    small = replace(B1, max_source=(640, 360, 25))
    lines = check_lines(settings_of(small, Template("relay", ())), 2)
    assert not any("720p30" in line for line in lines)
    assert lines[-2:] == ['app "relay": source', "  nothing is transcoded: streams take no room"]


def test_check_where_the_cores_serve_nobody_tells_of_no_room_on_them() -> None:
    settings = replace(settings_of(B1), software=Software(workers=0))
    lines = check_lines(settings, 2)
    assert "  1280x720@30 (720p30): 16.4 units a stream" in lines


def test_the_banner_says_for_each_app_how_many_streams_there_is_room_for() -> None:
    live = Template("live", DEFAULT_RENDITIONS)
    settings = settings_of(live, Template("relay", ()), replace(B1, name="tv"))
    assert room_lines(settings, planned_fleet(settings, 2)) == [
        'room for 3 streams of 720p30 in "live" alone; each takes 51 of the 200 units of the '
        "host's cores",
        'room for 12 streams of 720p30 in "tv" alone; each takes 16.4 of the 200 units of the '
        "host's cores",
    ]
    (both, _) = room_lines(settings, planned_fleet(settings, 2, [L4]))
    assert 'room for 20 streams of 720p30 in "live" alone (17 on GPUs, 3 on the host' in both


def test_a_doctors_number_is_that_of_one_device() -> None:
    settings = settings_of(Template("live", DEFAULT_RENDITIONS), replace(B1, name="tv"))
    assert streams_here(settings, 2, FULL_HD30, None) == {"live": 3, "tv": 2}
    assert streams_here(settings, 2, FULL_HD30, L4) == {"live": 16, "tv": 10}
    hybrid = replace(L4, pipeline=Pipeline.HYBRID)
    assert streams_here(settings, 2, FULL_HD30, hybrid) == {"live": 1, "tv": 1}

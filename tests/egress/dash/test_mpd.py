"""egress/dash/mpd.py: what players read of it."""

import dataclasses
import math
from fractions import Fraction
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress.dash.mpd import Period, Pictures, Presentation, Sound, date, description, duration

HIGH = Pictures("720p", "1a", "avc1.64001f", 3_000_000, 1280, 720, fps=Fraction(30_000, 1001))
LOW = Pictures("360p", "1b", "avc1.64001e", 800_000, 640, 360, Fraction(4, 3), Fraction(25))
SOUND = Sound("sound", "2a", "mp4a.40.2", 160_000, 48_000, 2, "de")
BEGAN = 1_700_000_000.25
LIVE = Presentation(2_000, BEGAN, 14.0, 0.344, [Period(2, None, [HIGH, LOW], SOUND)])
NAMESPACE = "{urn:mpeg:dash:schema:mpd:2011}"


def read(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def tags(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return list(root.iter(NAMESPACE + name))


def seconds(text: str) -> float:
    return float(text.removeprefix("PT").removesuffix("S"))


def test_a_live_presentation() -> None:
    root = read(description(LIVE, BEGAN + 20))
    assert root.get("type") == "dynamic"
    assert root.get("availabilityStartTime") == "2023-11-14T22:13:20.250Z"
    assert root.get("publishTime") == "2023-11-14T22:13:40.250Z"
    assert root.get("timeShiftBufferDepth") == "PT14.000S"
    assert root.get("minimumUpdatePeriod") == "PT2.000S"
    (period,) = tags(root, "Period")
    assert (period.get("id"), period.get("start"), period.get("duration")) == (
        "2",
        "PT4.000S",
        None,
    )
    sets = tags(root, "AdaptationSet")
    assert [one.get("contentType") for one in sets] == ["video", "audio"]
    assert sets[0].get("maxFrameRate") == "30000/1001"
    assert sets[1].get("lang") == "de"
    found = {one.get("id"): dict(one.attrib) for one in tags(root, "Representation")}
    assert set(found) == {"720p", "360p", "sound"}
    assert found["360p"]["sar"] == "4:3"
    assert found["360p"]["frameRate"] == "25"
    assert found["sound"]["audioSamplingRate"] == "48000"


def test_each_codec_has_a_set_of_its_own_and_h264_the_first() -> None:
    web = Pictures("web", "1c", "av01.0.05M.08", 900_000, 1280, 720, fps=Fraction(30))
    hevc = Pictures("hevc", "1d", "hvc1.1.6.L93.B0", 1_000_000, 1280, 720, fps=Fraction(30))
    period = Period(2, None, [hevc, HIGH, web, LOW], SOUND)
    root = read(description(dataclasses.replace(LIVE, periods=[period]), BEGAN))
    sets = tags(root, "AdaptationSet")
    assert [
        (one.get("id"), [found.get("id") for found in one.iter(NAMESPACE + "Representation")])
        for one in sets
    ] == [("1", ["720p", "360p"]), ("3", ["hevc"]), ("4", ["web"]), ("2", ["sound"])]
    assert [one.get("maxWidth") for one in sets] == ["1280", "1280", "1280", None]


def test_low_latency_is_told() -> None:
    root = read(description(LIVE, BEGAN))
    for template in tags(root, "SegmentTemplate"):
        assert template.get("availabilityTimeOffset") == "1.656"
        assert template.get("availabilityTimeComplete") == "false"
    (latency,) = tags(root, "Latency")
    assert latency.get("target") == "1532"
    clocks = [
        (one.get("schemeIdUri"), one.get("value")) for one in root.findall(NAMESPACE + "UTCTiming")
    ]
    assert clocks == [
        ("urn:mpeg:dash:utc:http-iso:2014", "../../time"),
        ("urn:mpeg:dash:utc:direct:2014", "2023-11-14T22:13:20.250Z"),
    ]
    for reference in tags(root, "ProducerReferenceTime"):
        assert reference.get("presentationTime") == "4000"
        assert reference.get("wallClockTime") == "2023-11-14T22:13:24.250Z"


def address(template: ElementTree.Element, number: int) -> str:
    media = template.get("media") or ""
    return media.replace("$$", "\0").replace("$Number$", str(number)).replace("\0", "$")


@given(
    st.integers(0, 10**7), st.sampled_from([500, 1_001, 2_000, 4_000]), st.floats(0, 2**31),
    st.integers(0, 50), st.text("ab$&<>'\"%=", max_size=12),
)  # fmt: skip
def test_a_player_computes_the_number_and_the_time_of_what_is_newest(
    first_msn: int, gop_ms: int, began: float, behind: int, query: str
) -> None:
    """As 5.3.9.5.3 and A.3.3 have it: k = (now - start) / duration, number = k + startNumber."""
    period = Period(first_msn, None, [HIGH], SOUND)
    shown = dataclasses.replace(LIVE, gop_ms=gop_ms, unix_offset_s=began, periods=[period])
    root = read(description(shown, began, query))
    (found,) = tags(root, "Period")
    for template in tags(root, "SegmentTemplate"):
        scale, length = (int(template.get(name) or 0) for name in ("timescale", "duration"))
        start_s = seconds(found.get("start") or "")
        stream_s = start_s + (behind + 0.5) * length / scale
        k = math.floor((stream_s - start_s) * scale / length)
        number = k + int(template.get("startNumber") or 0)
        assert number == first_msn + behind == int(stream_s * 1000 + 1e-6) // gop_ms
        # media times are stream time: the offset brings them to the period's begin
        offset = int(template.get("presentationTimeOffset") or 0)
        assert offset / scale == pytest.approx(start_s, abs=0.001)
        path, _, told = address(template, number).partition("?")
        assert path.endswith(f"/{number}.m4s")
        assert told == query


def test_periods_follow_one_another() -> None:
    first, second = Period(2, 7, [HIGH], SOUND), Period(7, None, [LOW], None)
    root = read(description(dataclasses.replace(LIVE, periods=[first, second]), BEGAN))
    found = [(p.get("id"), p.get("start"), p.get("duration")) for p in tags(root, "Period")]
    assert found == [("2", "PT4.000S", "PT10.000S"), ("7", "PT14.000S", None)]
    templates = [dict(one.attrib) for one in tags(root, "SegmentTemplate")]
    assert [one["startNumber"] for one in templates] == ["2", "2", "7"]
    assert [one["presentationTimeOffset"] for one in templates] == ["4000", "4000", "14000"]


def test_what_has_ended_is_described_to_its_end_and_asked_for_no_more() -> None:
    root = read(description(dataclasses.replace(LIVE, ended_ms=31_000), BEGAN))
    assert root.get("minimumUpdatePeriod") is None
    assert root.get("mediaPresentationDuration") == "PT31.000S"
    assert all(one.get("availabilityTimeOffset") is None for one in tags(root, "SegmentTemplate"))


def test_a_viewers_query_is_in_every_address() -> None:
    root = read(description(LIVE, BEGAN, "session=a&key=b%26c"))
    for template in tags(root, "SegmentTemplate"):
        for name in ("media", "initialization"):
            query = parse_qs(urlsplit(template.get(name) or "").query)
            assert query == {"session": ["a"], "key": ["b&c"]}


def test_dates_and_durations() -> None:
    assert date(0.0004) == "1970-01-01T00:00:00.000Z"
    assert date(1.9996) == "1970-01-01T00:00:02.000Z"
    assert duration(61.5) == "PT61.500S"


def test_pictures_without_sound_and_without_a_rate() -> None:
    plain: dict[str, Any] = {"fps": None}
    period = Period(0, None, [dataclasses.replace(HIGH, **plain)], None)
    text = description(dataclasses.replace(LIVE, periods=[period]), BEGAN)
    assert "rameRate" not in text
    assert "audio" not in text

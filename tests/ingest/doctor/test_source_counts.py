"""What is counted of each picture and each frame of sound."""

from ingest.doctor.source_counts import LATE_MS, SourceCounts
from tests.kit.ingest_ports import audio_unit, video_unit


def test_leads_lateness_keyframes_and_composition_times_are_counted():
    counts = SourceCounts()
    counts.picture(video_unit(0, key=True, received_s=10.0, composition_ms=80))
    counts.picture(video_unit(40, received_s=10.03, composition_ms=0))
    assert (counts.pictures, counts.late) == (2, 0)
    assert counts.picture_lead_ms == -9_990
    assert (counts.least_composition_ms, counts.most_composition_ms) == (0, 80)
    counts.late_below_ms = counts.picture_lead_ms - LATE_MS
    counts.picture(video_unit(80, received_s=10.6))
    counts.picture(video_unit(120, key=True, received_s=10.2))
    assert counts.late == 1
    assert (counts.longest_gop_ms, counts.key_ms, counts.newest_ms) == (120, 120, 120)
    counts.sound(audio_unit(60, received_s=10.0))
    counts.sound(audio_unit(80, received_s=10.3))
    assert counts.sound_lead_ms == -9_940
    assert (counts.picture_s, counts.sound_s) == (10.2, 10.3)
    counts.begin_second()
    assert (counts.pictures, counts.late, counts.longest_gop_ms) == (0, 0, 0)
    assert counts.key_ms == 120, "the GOP that runs goes on"


def test_time_that_is_set_anew_has_no_lead_of_before():
    counts = SourceCounts()
    counts.picture(video_unit(50_000, key=True, received_s=10.0))
    counts.late_below_ms = counts.picture_lead_ms - LATE_MS
    counts.picture(video_unit(0, key=True, received_s=10.04, discontinuity=True))
    assert (counts.late, counts.longest_gop_ms, counts.starts_anew) == (0, 0, True)
    assert counts.picture_lead_ms == -10_040


def test_a_pause_makes_no_gop_longer():
    counts = SourceCounts()
    for ms in (*range(0, 1_000, 40), *range(9_000, 10_000, 40)):
        counts.picture(video_unit(ms, key=ms == 0, received_s=10 + ms / 1000))
    counts.picture(video_unit(10_000, key=True, received_s=20.0))
    assert counts.longest_gop_ms == 1_960

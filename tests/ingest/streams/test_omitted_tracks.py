"""Further tracks are counted, for people."""

from common.media.units import MediaKind
from ingest.streams.media_events import TrackOmitted
from ingest.streams.omitted_tracks import MAX_TRACKS, OmittedTracks


def part(track: int, size: int, at_s: float, kind: MediaKind = MediaKind.VIDEO) -> TrackOmitted:
    return TrackOmitted(kind, track, "H.264" if kind is MediaKind.VIDEO else "AAC", size, at_s)


def test_each_track_is_named_with_its_rate() -> None:
    omitted = OmittedTracks()
    assert not omitted
    for picture in range(120):
        is_first = [omitted.count(part(track, 16_667, picture / 30)) for track in (1, 2)]
        assert is_first == [picture == 0] * 2
        omitted.count(part(1, 400, picture / 30, MediaKind.AUDIO))
    assert omitted.descriptions(4.0) == (
        "video track 1 (H.264, 4.0 Mbit/s)",
        "video track 2 (H.264, 4.0 Mbit/s)",
        "audio track 1 (AAC, 0.1 Mbit/s)",
    )
    assert omitted.words(4.0).count(", ") == 5


def test_a_track_of_sound_is_named_by_its_form_once_it_has_said_it() -> None:
    omitted = OmittedTracks()
    for frame in range(200):
        form = "AAC-LC 44.1 kHz 1ch" if frame == 50 else ""
        omitted.count(TrackOmitted(MediaKind.AUDIO, 1, "AAC", 500, frame / 50, form))
        omitted.count(TrackOmitted(MediaKind.AUDIO, 2, "AAC", 500, frame / 50))
    assert omitted.descriptions(4.0) == (
        "audio track 1 (AAC-LC 44.1 kHz 1ch, 0.2 Mbit/s)",
        "audio track 2 (AAC, 0.2 Mbit/s)",
    )


def test_no_more_are_told_apart_than_real_senders_have() -> None:
    omitted = OmittedTracks()
    for track in range(1, 256):
        assert omitted.count(part(track, 10, 0.0)) is (track <= MAX_TRACKS)
    assert len(omitted.descriptions(1.0)) == MAX_TRACKS

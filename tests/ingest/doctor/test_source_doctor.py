"""The doctor of one stream's source."""

from common.notices.notices import Notices
from ingest.doctor.source_doctor import PARTED_S, SourceDoctor
from ingest.doctor.source_figures import StreamFacts
from tests.kit.ingest_ports import TEMPLATE, video_unit

FACTS = StreamFacts(TEMPLATE, None, 1e6)


def codes(notices: Notices) -> list[str]:
    return [notice.code for notice in notices.as_tuple(0, 0)]


def test_it_looks_once_a_second_and_forgets_with_the_publisher():
    notices = Notices()
    doctor = SourceDoctor(notices)
    for frame in range(25 * 12):
        now = 100 + frame / 25
        doctor.counts.picture(video_unit(frame * 40, key=frame == 0, received_s=now))
        if doctor.is_due(now):
            assert frame % 25 == 0
            doctor.look(FACTS, now)
    assert codes(notices) == ["long-gop", "no-sound"]
    assert [change.code for change in doctor.take_changes()] == ["long-gop", "no-sound"]
    doctor.restart()
    assert codes(notices) == []
    assert doctor.is_due(112.0)


def test_what_the_clock_rule_decided_is_a_notice_as_long_as_it_holds():
    notices = Notices()
    doctor = SourceDoctor(notices)
    doctor.note_clock([("clock-stands", "picture times stand still: stamped by arrival")], "", 1.0)
    (notice,) = notices.as_tuple(0, 0)
    assert notice.words.startswith("picture times stand still: stamped by arrival: set ")
    doctor.note_clock([], "", 2.0)
    assert codes(notices) == []


def test_that_sound_and_picture_had_parted_is_said_for_ten_minutes():
    notices = Notices()
    doctor = SourceDoctor(notices)
    doctor.note_clock([], "sound and picture parted by 5.0 s: the sound was moved up", 10.0)
    doctor.look(FACTS, 10.0 + PARTED_S - 1)
    assert codes(notices) == ["sound-parted"]
    doctor.look(FACTS, 10.0 + PARTED_S)
    assert codes(notices) == []


def test_omitted_sound():
    notices = Notices()
    SourceDoctor(notices).note_omitted_audio("Opus audio", 1.0)
    assert notices.as_tuple(0, 0)[0].words == (
        "Opus audio is omitted: set the encoder's sound to AAC"
    )

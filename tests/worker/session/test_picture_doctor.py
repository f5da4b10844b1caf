"""The doctor of one session's source by its decoded pictures."""

from worker.frames.picture_content import COLUMNS, ROWS
from worker.session.picture_doctor import PictureDoctor
from worker.session.progress import SessionCounts

DARK = bytes([16]) * (ROWS * COLUMNS)


def test_it_looks_once_a_second_whoever_asks():
    counts, doctor = SessionCounts(), PictureDoctor()
    changes = []
    for quarter in range(4 * 14):
        now = 100 + quarter / 4
        if quarter % 4 == 0:
            counts.content.look(DARK, quarter * 250)
        if quarter == 20:
            counts.decode_errors += 8
        changes += doctor.look(counts, now)
    assert [(change.code, change.begins) for change in changes] == [
        ("damaged-pictures", True),
        ("black-picture", True),
    ]
    damaged, black = doctor.notices(114.0, 1_014.0)
    assert damaged.words.startswith("8 pictures of the last minute")
    assert black.words.startswith("the picture has been black for 13 s")
    assert (damaged.since_unix, black.since_unix) == (1_005.0, 1_010.0)


def test_guessed_times():
    counts, doctor = SessionCounts(), PictureDoctor()
    counts.has_guessed_times = True
    codes = [change.code for now in range(6) for change in doctor.look(counts, now)]
    assert codes == ["no-composition-times"]

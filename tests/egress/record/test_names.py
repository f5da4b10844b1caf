"""egress/record/names.py: names lead nowhere else and sort by age; the oldest files are removed."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from egress.record.names import (
    Kept,
    finished_name,
    folder,
    is_finished,
    is_mark,
    is_part,
    mark_of,
    part_name,
    to_remove,
)


def test_a_name_says_where_from_and_when() -> None:
    path = folder("/r", "live", "cam1", "720p") / part_name(1_764_500_000.1234)
    assert str(path) == "/r/live/cam1/720p/20251130T105320.123Z.part.mp4"
    assert str(finished_name(path)) == "/r/live/cam1/720p/20251130T105320.123Z.mp4"


@given(st.text(max_size=300), st.text(max_size=300))
def test_no_key_leads_out_of_its_folder_and_no_two_share_one(key: str, other: str) -> None:
    path = folder("/r", "live", key, "720p")
    assert path.parts[:3] == ("/", "r", "live")
    assert len(path.parts) == 5
    assert path.parts[3] not in (".", "..")
    assert len(path.parts[3].encode()) <= 255
    assert (path == folder("/r", "live", other, "720p")) == (key == other)


@given(st.floats(0, 4e9), st.floats(0, 4e9))
def test_names_sort_by_age(one: float, other: float) -> None:
    names = part_name(one), part_name(other)
    assert all(map(is_part, names))
    assert not any(map(is_finished, names))
    assert is_finished(finished_name(Path(names[0])).name)
    if round(one * 1000) < round(other * 1000):
        assert names[0] < names[1]


@given(st.lists(st.integers(0, 100), max_size=20), st.integers(0, 500))
def test_the_newest_that_fit_stay_and_the_newest_of_all_always(sizes: list[int], keep: int) -> None:
    files = [Kept(Path(f"/r/a/{at:04}.mp4"), size) for at, size in enumerate(sizes)]
    removed = to_remove(files[::-1], keep, is_nearly_full=False)
    left = files[len(removed) :]
    assert removed == files[: len(removed)]  # the oldest ones
    if not keep:
        assert not removed
        return
    assert len(left) >= min(1, len(files))
    assert len(left) <= 1 or sum(file.size for file in left) <= keep
    if removed:  # not one more than is needed
        assert removed[-1].size + sum(file.size for file in left) > keep


@given(st.lists(st.booleans(), max_size=12), st.integers(1, 200), st.booleans())
def test_what_is_needed_goes_last_and_only_where_there_is_no_room(
    needed: list[bool], keep: int, is_nearly_full: bool
) -> None:
    files = [Kept(Path(f"/r/a/{at:04}.mp4"), 20, one) for at, one in enumerate(needed)]
    removed = to_remove(files, keep, is_nearly_full=is_nearly_full)
    lost = [file for file in removed if file.is_needed]
    assert is_nearly_full or not lost
    if lost:
        spared = [file for file in files[:-1] if not file.is_needed and file not in removed]
        assert not spared
    if is_nearly_full and files:
        assert 20 * (len(files) - len(removed)) <= max(keep, 20)


def test_a_mark_lies_beside_its_recording() -> None:
    path = Path("/r/live/cam1/source/20251130T105320.000Z.mp4")
    assert mark_of(path).parent == path.parent
    assert is_mark(mark_of(path).name)
    assert not is_finished(mark_of(path).name)
    assert not is_mark(path.name)
    assert not is_mark("notes.txt.uploaded")

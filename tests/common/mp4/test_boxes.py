"""common/mp4/boxes.py: sizes, names, versions."""

from common.mp4.boxes import box, full_box, header


def test_a_box_says_its_size_and_its_name_before_its_contents() -> None:
    assert box(b"free") == b"\0\0\0\x08free"
    assert box(b"mdat", b"ab", memoryview(b"c")) == b"\0\0\0\x0bmdatabc"


def test_a_full_box_has_version_and_flags() -> None:
    assert full_box(b"tfdt", 1, 0x020001, b"x") == b"\0\0\0\x0dtfdt\1\2\0\1x"


def test_a_header_alone_is_for_contents_that_follow() -> None:
    assert header(b"mdat", 3) + b"abc" == box(b"mdat", b"abc")

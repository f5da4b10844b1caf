"""The comparison of CRCs finds a wrong picture, a strange time and a picture out of turn."""

from typing import Any

import pytest

from tests.bench.gpu_expected import match_pictures

EXPECTED = {(64, 36): [(10, 20), (11, 21), (12, 22)]}
SENT = {"a": [0, 33, 66, 100, 133], "b": [1000, 1033, 1066]}


def rows(stamps: list[int], first: int = 0) -> list[dict[str, Any]]:
    """One encoder's log: its opening, the black picture, then the clip's pictures."""
    opened = {"call": "InitializeEncoder", "pid": 1, "session": 2, "width": 64, "height": 36}
    black = {"call": "Picture", "pid": 1, "session": 2, "frame": 0, "ts": 1 << 63}
    coded = [
        {
            "call": "Picture",
            "pid": 1,
            "session": 2,
            "frame": 1 + index,
            "ts": at_ms,
            "luma_crc": 10 + (first + index) % 3,
            "chroma_crc": 20 + (first + index) % 3,
        }
        for index, at_ms in enumerate(stamps)
    ]
    return [opened, black, *coded]


def test_an_encoder_that_got_its_streams_pictures_matches() -> None:
    for key in SENT:
        found = match_pictures(rows(SENT[key]), EXPECTED, SENT)
        assert (found.sessions, found.pictures, found.wrong) == (1, len(SENT[key]), [])
    assert match_pictures(rows(SENT["a"][1:], first=1), EXPECTED, SENT).wrong == []
    later = match_pictures(rows([*SENT["b"], 1100]), EXPECTED, SENT)
    assert (later.pictures, later.wrong) == (3, [])  # what was sent by then is not known


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (rows([0, 33, 67]), "1 of 3, at [67] ms"),
        (rows([0, 66, 100]), "2 of 3, at [66, 100] ms"),
        (rows([0, 33, 66], first=1), "3 of 3"),
    ],
)
def test_what_does_not_match_is_told(log: list[dict[str, Any]], said: str) -> None:
    (wrong,) = match_pictures(log, EXPECTED, SENT).wrong
    assert said in wrong

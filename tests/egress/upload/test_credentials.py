"""egress/upload/credentials.py: who signs, by a file or by the environment; shown nowhere."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress.upload.credentials import Credentials, parse, taken_from

ID, SECRET = "aws_access_key_id", "aws_secret_access_key"
GOOD = Credentials("AK1", "s3cret/+%=")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"[default]\n{ID} = AK1\n{SECRET} = s3cret/+%=\n", GOOD),
        (f"# mine\n[other]\n{ID}=x\n[default]\n{SECRET}=s3cret/+%=\n{ID.upper()}=AK1", GOOD),
        (
            f"[default]\n{ID}=AK1\n{SECRET}=s3cret/+%=\naws_session_token=t==",
            Credentials("AK1", "s3cret/+%=", "t=="),
        ),
    ],
)
def test_a_file_is_read_as_amazons_tools_do(text: str, found: Credentials) -> None:
    assert parse(text) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "section"),
        ("AK1:s3cret", "NAME = VALUE"),
        (f"[default]\n{ID}=AK1\n", SECRET),
        (f"[default]\n{ID}=AK1\n{SECRET}=\n", SECRET),
        (f"[prod]\n{ID}=AK1\n{SECRET}=s3cret\n", "section"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_without_what_it_holds(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        parse(text)
    assert "AK1" not in str(raised.value)
    assert "s3cret" not in str(raised.value)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert parse(text).key_id


def test_the_environment_is_taken_and_left_without_them() -> None:
    environ = {ID.upper(): "AK1", SECRET.upper(): "s", "AWS_ENDPOINT_URL": "http://h", "HOME": "/"}
    assert taken_from(environ) == Credentials("AK1", "s")
    assert environ == {"HOME": "/"}
    assert taken_from(environ) is None


def test_nothing_of_them_is_shown() -> None:
    assert "AK1" not in repr(Credentials("AK1", "s3cret", "token"))
    assert "s3cret" not in repr(Credentials("AK1", "s3cret", "token"))

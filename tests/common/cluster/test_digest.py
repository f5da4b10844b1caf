"""common/cluster/digest.py."""

import pytest

from common.cluster.digest import is_digest, secret_of, stream_digest
from common.ipc.identity import StreamId

SECRET = b"0123456789abcdef"


def test_a_digest_is_the_same_for_the_same_secret_and_stream_alone() -> None:
    # by `printf live/cam1 | openssl dgst -sha256 -hmac 0123456789abcdef`
    digest = stream_digest(SECRET, StreamId("live/cam1"))
    assert digest == stream_digest(SECRET, StreamId("live/cam1"))
    assert is_digest(digest)
    assert digest != stream_digest(SECRET, StreamId("live/cam2"))
    assert digest != stream_digest(SECRET + b"0", StreamId("live/cam1"))
    assert "cam1" not in digest


@pytest.mark.parametrize("text", ["", "0" * 63, "0" * 65, "G" * 64, "0" * 64 + "\n", "../" * 21])
def test_what_is_no_digest_is_known(text: str) -> None:
    assert not is_digest(text)


def test_white_space_around_a_secret_is_left_out() -> None:
    assert secret_of(SECRET + b"\n") == SECRET


@pytest.mark.parametrize("data", [b"", b"short\n", b" " * 100, b"x" * 5000])
def test_a_bad_secret_is_refused_without_being_shown(data: bytes) -> None:
    with pytest.raises(ValueError, match="16 to 4096 bytes, such as `openssl") as caught:
        secret_of(data)
    assert "short" not in str(caught.value)

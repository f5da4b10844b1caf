"""FFmpeg's log lines, which carry the driver's reasons. Needs no GPU: any encoder may refuse."""

from collections.abc import Iterator

import av
import av.error
import av.logging
import pytest

from worker.devices.gpu.encode import keep_log_lines


@pytest.fixture
def _as_before() -> Iterator[None]:
    level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    yield
    av.logging.set_level(level)
    av.logging.set_skip_repeated(skips)


def refused_lines() -> list[str]:
    """What FFmpeg logs when an encoder does not open, always the same."""
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = 64, 64, "yuv420p"
    codec.options = {"profile": "nonsense"}
    with av.logging.Capture() as lines, pytest.raises(av.error.FFmpegError):
        codec.open()
    return [text for _, _, text in lines]


@pytest.mark.usefixtures("_as_before")
def test_the_same_refusal_says_why_every_time():
    keep_log_lines()
    first = refused_lines()
    assert any("nonsense" in line for line in first)
    assert refused_lines() == first
    assert refused_lines() == first

"""Sound coded as Opus: as long as it was, at its times, and broken frames cost themselves."""

from pathlib import Path

import av
import pytest

from common.ipc.sound_messages import SoundFrames
from tests.kit.clips import ClipSpec, make_clip
from worker.opus.coder import Coder, Undecodable
from worker.opus.sample_times import PACKET


@pytest.fixture(scope="module")
def aac(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[tuple[int, bytes]]]:
    """The record and the frames of some seconds."""
    path: Path = make_clip(tmp_path_factory.mktemp("clip") / "clip.flv", ClipSpec(seconds=3.0))
    with av.open(str(path)) as clip:
        (stream,) = clip.streams.audio
        record = bytes(stream.codec_context.extradata or b"")
        frames = [
            (int((packet.pts or 0) * float(stream.time_base or 0) * 1000), bytes(packet))
            for packet in clip.demux(stream)
            if packet.size
        ]
    return record, frames


def coded(coder: Coder, record: bytes, frames: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    made = []
    for time_ms, data in frames:
        made += coder.code(SoundFrames("live/cam", "aac", record, (time_ms,), (data,)))
    return made


def test_aac_becomes_opus_of_the_same_length(aac: tuple[bytes, list[tuple[int, bytes]]]) -> None:
    record, frames = aac
    made = coded(Coder("aac", record), record, frames)
    times = [at for at, _ in made]
    assert times == list(range(times[0], times[-1] + 1, PACKET))
    assert times[-1] / 48 == pytest.approx(frames[-1][0], abs=80)
    decoder = av.CodecContext.create("libopus", "r")
    decoder.sample_rate, decoder.layout = 48_000, "stereo"
    samples = 0
    for _, packet in made:
        for frame in decoder.decode(av.Packet(packet)):
            samples += frame.samples
    assert samples == pytest.approx(len(made) * PACKET, abs=PACKET)


def test_broken_frames_cost_themselves(aac: tuple[bytes, list[tuple[int, bytes]]]) -> None:
    record, frames = aac
    broken = [(at, b"\xff" * 50 if 20 <= n < 25 else data) for n, (at, data) in enumerate(frames)]
    coder = Coder("aac", record)
    made = coded(coder, record, [*broken, (10**6, b""), (10**6, bytes(100_000))])
    whole = coded(Coder("aac", record), record, frames)
    assert len(whole) - 12 <= len(made) <= len(whole)
    assert [at for at, _ in made] == sorted({at for at, _ in made})


def test_what_cannot_be_decoded_at_all_is_refused() -> None:
    with pytest.raises(Undecodable):
        Coder("speex", b"")

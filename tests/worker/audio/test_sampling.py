"""worker/audio/sampling.py: which frames are decoded, and when."""

import pytest

from common.errors import FlvError
from common.flv.audio import aac_frame, aac_sequence_header, mp3_frame
from common.flv.tag import TagType
from common.ipc.media_messages import HEADER, REPLAY, TagHeader
from common.media.units import AudioCodec
from tests.kit.ingest_ports import ASC
from worker.audio.sampling import EVERY_S, MAX_FRAMES, Sample, Sampler

AUDIO = int(TagType.AUDIO)


def tag(ms: int, flags: int = 0, kind: int = AUDIO) -> TagHeader:
    return TagHeader(kind, "aac", ms, 0, flags, 1.0)


def header(sampler: Sampler, now: float = 0.0) -> None:
    assert sampler.take([tag(0, HEADER)], [aac_sequence_header(ASC)], now) is None


def run(sampler: Sampler, from_ms: int, until_ms: int, step_ms: int = 20) -> list[Sample]:
    found = []
    for ms in range(from_ms, until_ms, step_ms):
        sample = sampler.take([tag(ms)], [aac_frame(b"%d" % ms)], ms / 1000)
        found += [sample] if sample is not None else []
    return found


def test_half_a_second_is_taken_every_five():
    sampler = Sampler(0.0)
    header(sampler)
    samples = run(sampler, 0, 17_100)
    assert len(samples) == 4
    assert samples[0].frames[:2] == (b"0", b"20")
    assert samples[0].frames[-1] == b"500"
    assert (samples[0].codec, samples[0].record) == (AudioCodec.AAC, ASC)
    assert samples[1].frames[0] == b"%d" % (500 + EVERY_S * 1000)


def test_a_sampler_may_begin_later_than_others():
    sampler = Sampler(0.0, 2.0)
    header(sampler)
    assert run(sampler, 0, 3_000)[0].frames[0] == b"2000"


def test_what_was_sent_before_is_no_sound_of_now():
    sampler = Sampler(0.0)
    header(sampler)
    for ms in range(0, 2_000, 20):
        assert sampler.take([tag(ms, REPLAY)], [aac_frame(b"x")], 1.0) is None
    assert sampler.came_s == 0.0


def test_nothing_is_sampled_without_a_header_nor_of_another_codec():
    assert run(Sampler(0.0), 0, 5_000) == []
    sampler = Sampler(0.0)
    speex = bytes([0xB2]) + b"speech"
    assert [sampler.take([tag(ms)], [speex], ms / 1000) for ms in range(0, 900, 20)] == [None] * 45


def test_another_header_begins_anew():
    sampler = Sampler(0.0)
    header(sampler)
    assert run(sampler, 0, 300) == []
    header(sampler, 0.3)
    assert run(sampler, 300, 900)[0].frames[0] == b"300"


def test_mp3_has_no_header():
    sampler = Sampler(0.0)
    samples = [
        sampler.take([tag(ms)], [mp3_frame(b"mp3 %d" % ms)], ms / 1000) for ms in range(0, 600, 20)
    ]
    (sample,) = [sample for sample in samples if sample is not None]
    assert (sample.codec, sample.record, sample.frames[0]) == (AudioCodec.MP3, b"", b"mp3 0")


def test_a_sample_is_bounded_whatever_the_times_say():
    sampler = Sampler(0.0)
    header(sampler)
    stands = [sampler.take([tag(7)], [aac_frame(b"x")], 0.1) for _ in range(MAX_FRAMES)]
    (sample,) = [sample for sample in stands if sample is not None]
    assert len(sample.frames) == MAX_FRAMES
    sampler = Sampler(0.0)
    header(sampler)
    big = aac_frame(bytes(100_000))
    assert [sampler.take([tag(ms)], [big], 0.1) for ms in range(0, 400, 20)] == [None] * 20


def test_other_tags_are_passed_over_and_a_broken_one_is_reported():
    sampler = Sampler(0.0)
    header(sampler)
    assert sampler.take([tag(0, kind=int(TagType.SCRIPT)), tag(0)], [b"data", b""], 0.0) is None
    with pytest.raises(FlvError):
        sampler.take([tag(0)], [b"\xaf"], 0.0)
    assert len(run(sampler, 20, 700)) == 1

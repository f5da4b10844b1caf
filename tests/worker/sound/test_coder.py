"""Sound in another form: as long as it was, at its times; broken frames cost themselves."""

from collections.abc import Sequence
from typing import NamedTuple

import av
import numpy as np
import pytest
from av.audio.codeccontext import AudioCodecContext

from common.ipc.sound_messages import PACKET_SAMPLES, RECORDS, SoundFrames
from common.media.units import AudioCodec
from worker.sound.coder import Coder, Undecodable

RATE = 48_000
SECONDS = 3
BEEPS_S = (0.7, 1.5, 2.4)
AAC, OPUS = AudioCodec.AAC, AudioCodec.OPUS
ENCODERS = {AAC: ("aac", "fltp"), OPUS: ("libopus", "flt")}


class Source(NamedTuple):
    codec: AudioCodec
    record: bytes
    frames: Sequence[tuple[int, bytes]]  # stream time in ms


def source(
    codec: AudioCodec, rate: int = RATE, layout: str = "stereo", first_ms: int = 1000
) -> Source:
    """Some beeps, coded as publishers do, with the times that these give."""
    name, form = ENCODERS[codec]
    encoder = av.CodecContext.create(name, "w")
    assert isinstance(encoder, AudioCodecContext)
    encoder.format, encoder.layout, encoder.rate = form, layout, rate
    encoder.bit_rate = 128_000
    encoder.open()
    channels = encoder.layout.nb_channels
    at = np.arange(SECONDS * rate) / rate
    tone = np.zeros(len(at), np.float32)
    for begin in BEEPS_S:
        tone[(at >= begin) & (at < begin + 0.1)] = 0.5
    tone *= np.sin(2 * np.pi * 1000 * at).astype(np.float32)
    size = encoder.frame_size
    made = []
    for begin in range(0, len(tone) - size, size):
        plane = np.tile(tone[begin : begin + size], (channels, 1))
        if form == "flt":
            plane = np.ascontiguousarray(plane.T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(plane, format=form, layout=layout)
        frame.sample_rate, frame.pts = rate, begin
        made += [
            (first_ms + round((p.pts or 0) * 1000 / rate), bytes(p)) for p in encoder.encode(frame)
        ]
    return Source(codec, bytes(encoder.extradata or b""), made)


def coded(
    coder: Coder, given: Source, form: AudioCodec, frames: Sequence[tuple[int, bytes]] | None = None
) -> list[tuple[int, bytes]]:
    made = []
    for time_ms, data in given.frames if frames is None else frames:
        asked = SoundFrames("live/cam", given.codec, given.record, (time_ms,), (data,), form)
        made += coder.code(asked)
    return made


def beeps_s(form: AudioCodec, packets: Sequence[tuple[int, bytes]]) -> list[float]:
    """When a player hears a beep begin, by the packets' times."""
    decoder = av.CodecContext.create("aac" if form is AAC else "opus", "r")
    assert isinstance(decoder, AudioCodecContext)
    if form is AAC:
        decoder.extradata = RECORDS[form]
    heard: list[float] = []
    quiet_since = -1.0
    for time, packet in packets:
        for frame in decoder.decode(av.Packet(packet)):
            assert (frame.sample_rate, frame.layout.name) == (RATE, "stereo")
            level = np.abs(frame.to_ndarray()[0])
            for index in np.flatnonzero(level > 0.2):
                at = (time + int(index)) / RATE
                if at - quiet_since > 0.2:
                    heard.append(at)
                quiet_since = at
    return heard


@pytest.mark.parametrize(
    ("codec", "rate", "layout", "form"),
    [
        (AAC, RATE, "stereo", OPUS),
        (AAC, 44_100, "stereo", OPUS),
        (OPUS, RATE, "stereo", AAC),
        (OPUS, RATE, "mono", AAC),
        (AAC, 22_050, "mono", AAC),
        (AAC, RATE, "5.1", AAC),
        (AAC, RATE, "5.1", OPUS),
    ],
)
def test_sound_keeps_its_times_whatever_it_was(
    codec: AudioCodec, rate: int, layout: str, form: AudioCodec
) -> None:
    given = source(codec, rate, layout)
    packets = coded(Coder(codec, given.record, form), given, form)
    times = [at for at, _ in packets]
    size = PACKET_SAMPLES[form]
    assert times == list(range(times[0], times[-1] + 1, size))
    assert times[-1] / 48 == pytest.approx(given.frames[-1][0], abs=100)
    expected = [1.0 + begin for begin in BEEPS_S]
    assert beeps_s(form, packets) == pytest.approx(expected, abs=0.008)


def test_opus_that_is_joined_in_the_middle_is_no_noise() -> None:
    given = source(OPUS)
    joined = [(at, data) for at, data in given.frames if at >= 1000 + 1000 * BEEPS_S[1] + 30]
    packets = coded(Coder(OPUS, given.record, AAC), given, AAC, joined)
    assert beeps_s(AAC, packets) == pytest.approx([1.0 + BEEPS_S[2]], abs=0.008)


def test_no_time_is_before_the_stream_s() -> None:
    given = source(OPUS, first_ms=0)
    packets = coded(Coder(OPUS, given.record, AAC), given, AAC)
    assert packets[0][0] in range(PACKET_SAMPLES[AAC])


def test_broken_frames_cost_themselves() -> None:
    given = source(AAC)
    broken = [
        (at, b"\xff" * 50 if 20 <= n < 25 else data) for n, (at, data) in enumerate(given.frames)
    ]
    coder = Coder(AAC, given.record, OPUS)
    made = coded(coder, given, OPUS, [*broken, (10**6, b""), (10**6, bytes(100_000))])
    whole = coded(Coder(AAC, given.record, OPUS), given, OPUS)
    assert len(whole) - 12 <= len(made) <= len(whole)
    assert [at for at, _ in made] == sorted({at for at, _ in made})


@pytest.mark.parametrize(
    ("codec", "record", "form"),
    [("speex", b"", AAC), (OPUS, b"no header", AAC), (AAC, b"\x11\x90", "mp3"), (AAC, b"", "x")],
)
def test_what_cannot_be_coded_at_all_is_refused(codec: str, record: bytes, form: str) -> None:
    with pytest.raises(Undecodable):
        Coder(codec, record, form)

"""A stream's sound for WebRTC: Opus as it is, other sound by way of who codes it."""

from common.codecs.opus import packet_samples
from common.flv.audio import aac_frame, aac_sequence_header, audio_body
from common.ipc.identity import stream_id
from common.ipc.media_messages import HEADER, REPLAY
from common.ipc.sound_messages import SoundFrames, SoundPackets
from common.media.units import AudioCodec, AudioUnit
from common.rtp.history import Frame, History
from egress.rtc.sound import Sound
from egress.sound.coded import SoundForms
from egress.streams.tag import AUDIO, Config, Tag
from tests.kit.egress import made_tag

ASC = bytes((0x11, 0x90))
AAC = Config(audio=made_tag(AUDIO, 0, HEADER, aac_sequence_header(ASC)))
OPUS = b"\xfc" + bytes(40)  # 20 ms, stereo


class Rig:
    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.asked: list[SoundFrames] = []
        self.forms = SoundForms(self.asked.append)
        self.sound = Sound(stream_id("live", "cam"), self._on_frame, self.forms)

    def _on_frame(self, history: History, frame: Frame) -> None:
        self.frames.append(frame)


def opus_tag(dts_ms: int, data: bytes = OPUS) -> Tag:
    body = audio_body(AudioUnit(AudioCodec.OPUS, 0, dts_ms, data, 0.0))
    return Tag(AUDIO, "opus", dts_ms, 0, 0, body)


def aac_tag(dts_ms: int, flags: int = 0) -> Tag:
    return made_tag(AUDIO, dts_ms, flags, aac_frame(b"%d" % dts_ms))


def test_opus_goes_out_as_it_is_at_times_that_count_samples() -> None:
    rig = Rig()
    assert packet_samples(OPUS) == 960
    rig.sound.take(Config(), [opus_tag(at) for at in (1000, 1021, 1039, 1061)])
    assert [frame.time_ms for frame in rig.frames] == [1000, 1020, 1040, 1060]
    assert [frame.payloads for frame in rig.frames] == [[OPUS]] * 4
    rig.sound.take(Config(), [opus_tag(3000)])
    assert rig.frames[-1].time_ms == 3000
    rig.sound.take(Config(), [opus_tag(2000), opus_tag(4000, b"")])
    assert len(rig.frames) == 5
    assert len(rig.forms) == 0


def test_what_is_replayed_is_not_coded() -> None:
    rig = Rig()
    rig.sound.take(AAC, [aac_tag(21, REPLAY), aac_tag(43)])
    rig.sound.take(AAC, [aac_tag(21), aac_tag(43), aac_tag(64)])
    assert [asked.times_ms for asked in rig.asked] == [(43,), (64,)]


def test_packets_that_were_coded_have_the_times_that_come_with_them() -> None:
    rig = Rig()
    rig.sound.take(AAC, [aac_tag(1000)])
    label = rig.asked[0].stream
    rig.forms.came(SoundPackets(label, "opus", (48_000, 48_960), (b"packet", bytes(5000))))
    (frame,) = rig.frames
    assert (frame.time_ms, frame.payloads) == (1000.0, [b"packet"])
    rig.sound.close()
    assert len(rig.forms) == 0

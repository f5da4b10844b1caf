"""A rendition for who cannot carry all sound: what he cannot comes in a form, all else as it is."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from common.flv.audio import audio_body, audio_config_of, audio_header_body, audio_unit_of
from common.ipc.identity import stream_id
from common.ipc.media_messages import HEADER, KEY
from common.ipc.sound_messages import RECORDS, SoundFrames, SoundPackets
from common.media.units import FLV_ONLY, AudioCodec, AudioConfig, AudioUnit
from egress.sound.carried import CLASSIC, WITH_OPUS, CarriedSound
from egress.sound.coded import SoundForms
from egress.streams.tag import AUDIO, Config, PublisherInfo, Tag
from tests.kit.egress import METADATA, audio_header_tag, audio_tag, key_tag, made_tag, tag

STREAM = stream_id("live", "cam")
AAC, OPUS = AudioCodec.AAC, AudioCodec.OPUS
FMP4 = frozenset({AAC, OPUS})


def header(codec: AudioCodec) -> Tag:
    return Tag(AUDIO, codec, 0, 0, HEADER, audio_header_body(AudioConfig(codec, RECORDS[codec])))


def opus_tag(dts_ms: int) -> Tag:
    return Tag(AUDIO, OPUS, dts_ms, 0, 0, audio_body(AudioUnit(OPUS, 0, dts_ms, b"\xfco", 0.0)))


class Rig:
    """A subscriber behind it, and the process that codes."""

    def __init__(self, carries: frozenset[str], forms: SoundForms | None = None) -> None:
        self.configs: list[Config] = []
        self.tags: list[Tag] = []
        self.ended = ""
        self.asked: list[SoundFrames] = []
        self.forms = SoundForms(self.asked.append) if forms is None else forms
        self.feed = CarriedSound(self, STREAM, carries, self.forms)

    def on_config(self, config: Config, /) -> None:
        self.configs.append(config)

    def on_units(self, tags: Sequence[Tag], /) -> None:
        self.tags += tags

    def on_end(self, reason: str, /) -> None:
        self.ended = reason

    def come(self, *times_ms: int) -> None:
        times = tuple(ms * 48 for ms in times_ms)
        self.forms.came(SoundPackets("0", AAC, times, (b"coded",) * len(times)))


@pytest.mark.parametrize(
    ("carries", "codec"), [(CLASSIC, AAC), (WITH_OPUS, AAC), (WITH_OPUS, OPUS), (FMP4, OPUS)]
)
def test_what_is_carried_passes_as_it_is(carries: frozenset[str], codec: AudioCodec) -> None:
    rig = Rig(carries)
    config = Config(audio=header(codec))
    sound = opus_tag(0) if codec is OPUS else tag(audio_tag(0))
    units = [tag(key_tag(0)), sound]
    rig.feed.on_config(config)
    rig.feed.on_units(units)
    assert rig.configs[0] is config
    assert rig.tags == units
    assert not rig.asked


def test_other_sound_comes_coded_with_a_header_and_metadata_of_its_own() -> None:
    rig = Rig(CLASSIC)
    script = made_tag(18, 0, 0, METADATA)
    rig.feed.on_config(Config(script=script, audio=header(OPUS)))
    (config,) = rig.configs
    assert config.audio is not None
    found = audio_config_of(config.audio.body)
    assert found is not None
    assert (found.codec, found.sample_rate, found.channels) == (AAC, 48_000, 2)
    assert config.publisher == PublisherInfo(METADATA, config.audio.body, AAC)
    picture = tag(key_tag(100))
    rig.feed.on_units([opus_tag(90), picture, opus_tag(110)])
    assert rig.tags == [picture]
    assert [asked.times_ms for asked in rig.asked] == [(90, 110)]
    rig.come(69, 90, 111)
    assert [(one.type, one.dts_ms) for one in rig.tags[1:]] == [(AUDIO, 90), (AUDIO, 111)]
    unit = audio_unit_of(rig.tags[1].body, 90)
    assert unit is not None
    assert (unit.codec, unit.data) == (AAC, b"coded")


def test_it_goes_back_to_what_is_carried_and_nothing_late_comes() -> None:
    rig = Rig(CLASSIC)
    rig.feed.on_config(Config(audio=header(OPUS)))
    rig.feed.on_units([tag(key_tag(0)), opus_tag(0)])
    rig.feed.on_config(Config(audio=tag(audio_header_tag(0))))
    rig.come(0, 21)
    rig.feed.on_units([tag(audio_tag(40))])
    assert [one.dts_ms for one in rig.tags] == [0, 40]
    rig.feed.on_end("over")
    assert (rig.ended, len(rig.forms)) == ("over", 0)


def test_where_one_can_begin_of_sound_alone_one_can_of_the_coded_sound() -> None:
    rig = Rig(CLASSIC)
    rig.feed.on_config(Config(audio=header(OPUS)))
    starts = [replace(opus_tag(at), flags=KEY) for at in (1000, 2000)]
    rig.feed.on_units([starts[0], opus_tag(1020), starts[1]])
    rig.come(1000, 1021, 1043, 1990, 2011, 2033)
    assert [one.dts_ms for one in rig.tags if one.is_key] == [1000, 2011]


def test_who_comes_later_hears_what_is_coded_already() -> None:
    first = Rig(CLASSIC)
    second = Rig(CLASSIC, first.forms)
    for rig in (first, second):
        rig.feed.on_config(Config(audio=header(OPUS)))
    first.feed.on_units([tag(key_tag(0)), opus_tag(0), opus_tag(20), opus_tag(40)])
    first.come(0, 21, 43)
    second.feed.on_units([tag(key_tag(20)), opus_tag(20), opus_tag(40), opus_tag(60)])
    first.come(64)
    assert [one.dts_ms for one in first.tags if one.type == AUDIO] == [0, 21, 43, 64]
    assert [one.dts_ms for one in second.tags if one.type == AUDIO] == [21, 43, 64]
    assert [asked.times_ms for asked in first.asked] == [(0, 20, 40), (60,)]
    for rig in (first, second):
        rig.feed.close()
    assert len(first.forms) == 0


def test_sound_without_a_header_is_coded_where_it_is_not_carried() -> None:
    rig = Rig(FMP4)
    mp3 = Tag(AUDIO, AudioCodec.MP3, 0, 0, 0, b"\x2fmp3")
    rig.feed.on_config(Config())
    picture = tag(key_tag(0))
    rig.feed.on_units([picture, mp3])
    assert rig.tags == [picture]
    assert rig.asked[0].frames == (b"mp3",)
    rig.feed.on_config(Config(script=made_tag(18, 0, 0, METADATA)))
    found = [config.audio.codec if config.audio else "" for config in rig.configs]
    assert found == ["", AAC, AAC]  # before the first of it
    rig.come(0)
    assert rig.tags[1].codec == AAC
    rig.feed.on_config(Config(audio=header(OPUS)))
    rig.come(21)
    assert (rig.configs[-1].audio, len(rig.tags)) == (header(OPUS), 2)
    rig = Rig(CLASSIC)
    rig.feed.on_units([mp3])
    assert rig.tags == [mp3]


def test_what_nobody_can_decode_stays_as_it_is() -> None:
    rig = Rig(FMP4)
    assert AudioCodec.SPEEX in FLV_ONLY
    speex = Tag(AUDIO, AudioCodec.SPEEX, 0, 0, 0, b"\xb6speex")
    rig.feed.on_units([speex])
    assert rig.tags == [speex]

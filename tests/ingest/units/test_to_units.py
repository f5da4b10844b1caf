"""ingest/units/to_units.py: what another process took out of a publisher's protocol."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.flv import ad_cue
from common.ipc.unit_messages import KEY, KINDS, PublishTimed, UnitItem
from common.media.clock import ClockReference
from common.media.units import AudioConfig, AudioUnit, DataUnit, VideoConfig, VideoUnit
from ingest.streams.clock.timeline import Timeline
from ingest.streams.media_events import (
    AudioOmitted,
    Dropped,
    MediaEvent,
    Metadata,
    UnsupportedVideo,
)
from ingest.units.to_units import UnitReader
from tests.kit.ingest_ports import ASC, SPS_720, record
from tests.kit.scte35_writer import INSERTION, section

IDR = b"\x00\x00\x00\x02\x65\x88"
SLICE = b"\x00\x00\x00\x02\x41\x88"
NOW = 100.0


def reader(timeline: Timeline | None = None) -> UnitReader:
    return UnitReader(3, timeline or Timeline(), NOW)


def read(to: UnitReader, *items: tuple[UnitItem, bytes], now: float = NOW) -> Sequence[MediaEvent]:
    return list(to.take([item for item, _ in items], [payload for _, payload in items], now))


def picture(at_ms: int, *, key: bool = False, at_s: float = NOW) -> tuple[UnitItem, bytes]:
    return UnitItem("video", "h264", at_ms, 40, KEY * key, at_s), IDR if key else SLICE


HEADER = UnitItem("video-config", "h264"), record()
SOUND_HEADER = UnitItem("audio-config", "aac"), ASC


def test_a_publishers_units_are_those_that_its_process_took_out() -> None:
    config, first, second, sound_config, sound = read(
        reader(),
        HEADER,
        picture(1000, key=True, at_s=99.5),
        picture(1040),
        SOUND_HEADER,
        (UnitItem("audio", "aac", 1010, 0, 0, NOW), b"sound"),
    )
    assert isinstance(config, VideoConfig)
    assert (config.width, config.height) == (1920, 1080)
    assert isinstance(first, VideoUnit)
    assert (first.dts_ms, first.composition_ms, first.is_key) == (1000, 40, True)
    assert (first.received_s, bytes(first.data)) == (99.5, IDR)
    assert isinstance(second, VideoUnit)
    assert (second.dts_ms, second.is_key) == (1040, False)
    assert isinstance(sound_config, AudioConfig)
    assert sound_config.sample_rate == 48000
    assert isinstance(sound, AudioUnit)
    assert (sound.dts_ms, bytes(sound.data)) == (1010, b"sound")


def test_its_process_is_told_which_stream_time_its_stamps_are() -> None:
    to = reader()
    read(to, HEADER, picture(1000, key=True))
    assert to.timed == PublishTimed(3, 1000, 1000)
    to.timed = None
    read(to, picture(1040))
    assert to.timed is None, "they go on"
    going_on = reader(Timeline.continuing(ClockReference(5000, NOW), 5000))
    read(going_on, HEADER, picture(1000, key=True))
    assert going_on.timed == PublishTimed(3, 1000, 5001)


@given(st.integers(-(1 << 40), 1 << 40))
def test_stamps_may_begin_anywhere_and_are_a_publishers_own(start_ms: int) -> None:
    to = reader()
    events = read(to, HEADER, *(picture(start_ms + 40 * n, key=not n) for n in range(5)))
    times = [event.dts_ms for event in events if isinstance(event, VideoUnit)]
    assert [time - times[0] for time in times] == [0, 40, 80, 120, 160]
    assert to.timed is not None
    assert (to.timed.stamp_ms, to.timed.stream_ms) == (start_ms, times[0])


@pytest.mark.parametrize(
    ("item", "payload", "expected"),
    [
        (UnitItem("video-config", "h265"), b"x", Dropped),
        (UnitItem("video", "vp9"), b"x", UnsupportedVideo),
        (UnitItem("video", "theora"), b"x", Dropped),
        (UnitItem("audio-config", "ac3"), b"", AudioOmitted),
        (UnitItem("audio", "ac3"), b"x", AudioOmitted),
        (UnitItem("audio-config", "vorbis"), b"", AudioOmitted),
        (UnitItem("video", "h264"), SLICE, Dropped),
        (UnitItem("video-config", "h264"), b"\x01", Dropped),
        (UnitItem("audio-config", "aac"), b"", Dropped),
        (UnitItem("audio-config", "aac"), bytes(20_000), Dropped),
        (UnitItem("audio", "aac"), b"x", Dropped),
        (UnitItem("metadata"), b"\x02\x00\x0aonMetaData\x08\x00\x00\x00\x00\x00\x00\x09", Metadata),
        (UnitItem("metadata"), b"nothing", Metadata),
        (UnitItem("data"), b"x", DataUnit),
        (UnitItem("lost"), b"500 packets", Dropped),
    ],
)
def test_what_it_is_by_its_kind(item: UnitItem, payload: bytes, expected: type) -> None:
    (event,) = read(reader(), (item, payload))
    assert isinstance(event, expected)


def test_what_nobody_can_be_given_is_reported_once() -> None:
    to, ac3, vp9 = reader(), (UnitItem("audio", "ac3"), b"x"), (UnitItem("video", "vp9"), b"x")
    assert len(read(to, ac3, vp9, ac3, vp9)) == 2


def test_what_is_lost_breaks_what_refers_to_it() -> None:
    to = reader()
    read(to, HEADER, picture(0, key=True))
    (lost,) = read(to, (UnitItem("lost"), b"500 packets"))
    assert lost == Dropped(lost.kind, "lost on the way", "500 packets", breaks_references=True)  # type: ignore[union-attr]  # a Dropped


def test_parameter_sets_in_band_are_found() -> None:
    to = reader()
    sets = len(SPS_720).to_bytes(4, "big") + SPS_720 + b"\x00\x00\x00\x06\x68\xeb\xc3\xcb\x22\xc0"
    events = read(to, (UnitItem("video", "h264", 0, 0, KEY, NOW), sets + IDR))
    config = events[0]
    assert isinstance(config, VideoConfig)
    assert (config.width, config.height) == (1280, 720)


@given(
    st.lists(
        st.tuples(
            st.builds(
                UnitItem,
                st.sampled_from(sorted(KINDS)),
                st.sampled_from(("", "h264", "h265", "aac", "mp3", "opus", "x")),
                st.integers(-(1 << 53), 1 << 53),
                st.integers(-(1 << 23), 1 << 23),
                st.integers(0, 3),
                st.floats(0, 1e6),
            ),
            st.binary(max_size=40),
        ),
        max_size=12,
    )
)
def test_nothing_raises_and_nothing_comes_from_the_future(
    items: list[tuple[UnitItem, bytes]],
) -> None:
    to = reader()
    events = read(to, HEADER, SOUND_HEADER, *items)
    arrivals = [one.received_s for one in events if isinstance(one, VideoUnit | AudioUnit)]
    assert all(at_s <= NOW for at_s in arrivals)


def test_a_splice_becomes_a_data_message_in_the_stream_s_time() -> None:
    to = reader(Timeline())
    read(to, HEADER, picture(900_000, key=True), picture(900_040))
    item = UnitItem("data", "scte35", 900_040, 2_500, 0, NOW)
    (found,) = read(to, (item, INSERTION))
    assert isinstance(found, DataUnit)
    cue = ad_cue.read(found.data)
    assert cue is not None
    assert (cue.section, cue.pre_roll_s) == (INSERTION, 2.5)
    assert cue.time_s == pytest.approx(found.dts_ms / 1000 + 2.5)
    forwarded = UnitItem("data", "", 5_000, 0, 0, NOW)
    (again,) = read(reader(Timeline()), (forwarded, found.data))
    assert isinstance(again, DataUnit)
    assert ad_cue.read(again.data) == ad_cue.AdCue(INSERTION, again.dts_ms / 1000 + 2.5, 2.5)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (INSERTION[:-1] + b"x", "unreadable SCTE-35"),
        (section(5, b"", is_encrypted=True), "encrypted SCTE-35"),
    ],
)
def test_a_splice_that_cannot_be_read_is_dropped(data: bytes, reason: str) -> None:
    (found,) = read(reader(), (UnitItem("data", "scte35", 0, 0, 0, NOW), data))
    assert isinstance(found, Dropped)
    assert found.reason == reason

"""Sources of every shape: other rates, aspects and sizes than the ladder's, and changes midway."""

import contextlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import pytest

from tests.kit.clients import (
    FlvTag,
    Player,
    Publisher,
    Recording,
    TagPublisher,
    end_ms,
    flv_tags,
    shifted,
)
from tests.kit.clips import ClipSpec
from tests.kit.farm import Farm

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
Played = dict[str, Recording]
SPEC = ClipSpec(seconds=3.0, b_frames=0)
LONG = SPEC.but(seconds=5.0)  # five of them begin at once


@pytest.fixture(scope="module")
def shapes(farm: Farm, clip: MakeClip) -> Mapping[str, Recording]:
    """Several sources at once, each played in one or two renditions."""
    high_rate = clip(LONG.but(width=320, height=180, fps=Fraction(60), gop_frames=60))
    narrow = clip(LONG.but(width=480, height=360))
    stretched = clip(LONG.but(width=480, height=360, sar=Fraction(4, 3), audio=False))
    tiny = clip(LONG.but(width=160, height=90, bitrate_bps=200_000))
    upright = clip(LONG.but(width=270, height=480))
    with (
        Publisher(farm.url("rate"), high_rate),
        Publisher(farm.url("narrow"), narrow),
        Publisher(farm.url("stretched"), stretched),
        Publisher(farm.url("upright"), upright),
        Publisher(farm.url("tiny"), tiny) as last,
    ):
        players = {
            "rate": Player(farm.url("rate", "144p")),
            "narrow": Player(farm.url("narrow", "240p")),
            "upright": Player(farm.url("upright", "240p")),
            "stretched": Player(farm.url("stretched", "240p")),
            "tiny": Player(farm.url("tiny", "144p")),
        }
        for player in players.values():
            player.__enter__()
        farm.wait_stream(*players)
        LEFT_OUT.update(
            {
                key: {entry["name"]: entry["reason"] for entry in stream["omitted"]}
                for key, stream in farm.streams().items()
            }
        )
        last.join(15)
        for player in players.values():
            player.join(20)
            assert player.error is None
    return {key: player.recording for key, player in players.items()}


LEFT_OUT: dict[str, dict[str, str]] = {}


def consecutive(recording: Recording, step: int) -> bool:
    numbers = [shown.number for shown in recording.shown]
    first = numbers[0]
    if first is None:
        return False
    return numbers == list(range(first, first + step * len(numbers), step))


def test_no_shape_makes_a_stream_that_fails_to_decode(shapes: Mapping[str, Recording]) -> None:
    for key, recording in shapes.items():
        assert recording.decode_error == "", key
        assert len(recording.shown) > 20, key


def test_60_frames_a_second_become_15_by_source_time(shapes: Mapping[str, Recording]) -> None:
    recording = shapes["rate"]
    assert recording.sizes() == {(256, 144)}
    # The clip's SPS names no rate, so the first second is spent on measuring it.
    later = Recording(shown=[shown for shown in recording.shown if (shown.number or 0) > 60])
    assert later.fps() == pytest.approx(15, abs=0.2)
    assert consecutive(later, 4)


def test_another_aspect_is_kept_without_black_bars(shapes: Mapping[str, Recording]) -> None:
    recording = shapes["narrow"]
    assert recording.sizes() == {(320, 240)}
    assert consecutive(recording, 1)


def test_an_upright_source_gets_upright_renditions(shapes: Mapping[str, Recording]) -> None:
    recording = shapes["upright"]
    assert recording.sizes() == {(240, 426)}
    assert consecutive(recording, 1)
    luma = recording.first_luma
    assert luma is not None
    assert luma[:, :8].max() > 40, "no bar on the left"
    assert luma[-8:].max() > 40, "nor below"


def test_the_sample_aspect_ratio_is_honoured(shapes: Mapping[str, Recording]) -> None:
    """480x360 of 4:3 samples is a 16:9 picture: it fills 426x240."""
    assert consecutive(shapes["stretched"], 1)


def test_a_stream_without_sound_plays(shapes: Mapping[str, Recording]) -> None:
    assert shapes["stretched"].audio == []


def test_what_would_be_enlarged_is_left_out_and_the_status_says_so(
    shapes: Mapping[str, Recording],
) -> None:
    assert "240p" in LEFT_OUT["rate"]
    assert "enlarge" in LEFT_OUT["rate"]["240p"]
    assert LEFT_OUT["narrow"] == {}


def test_a_source_below_every_rendition_gives_one_rendition_of_its_own_size(
    shapes: Mapping[str, Recording],
) -> None:
    assert shapes["tiny"].sizes() == {(160, 90)}
    assert "240p" in LEFT_OUT["tiny"]


@pytest.fixture(scope="module")
def changes(farm: Farm, clip: MakeClip) -> Mapping[str, Recording]:
    """Sources that change midway, two at once: what players of `KEY/RENDITION` got."""
    first, upright = flv_tags(clip(SPEC)), flv_tags(clip(SPEC.but(width=270, height=480)))
    wide = SPEC.but(width=480, height=270, first_number=500)
    jumped = shifted(flv_tags(clip(SPEC.but(first_number=500))), 3_600_000)
    jump = [*first, *(tag for tag in jumped if tag.type != 18 and not tag.is_header)]
    due_ms = [tag.dts_ms if tag.dts_ms < 3_600_000 else tag.dts_ms - 3_597_000 for tag in jump]
    wrap = shifted(first, 2**32 - 1500)  # before the end of the 49 days that RTMP's clock holds

    def play(key: str, tags: Sequence[FlvTag], due_ms: Sequence[float] | None = None) -> Played:
        names = [f"{key}/{name}" for name in ("240p", "source")]
        players = [Player(farm.url(*name.split("/"))) for name in names]
        publisher = TagPublisher(farm.url(key), tags, due_ms=due_ms)
        with contextlib.ExitStack() as stack:
            for each in (*players, publisher):
                stack.enter_context(each)
            publisher.join(30)
            assert publisher.error is None
            for player in players:
                player.join(20)
                assert player.error is None
        return {name: player.recording for name, player in zip(names, players, strict=True)}

    with ThreadPoolExecutor(2) as threads:
        runs = [
            threads.submit(play, "phone", followed(upright, clip(wide.but(seconds=7.0)))),
            threads.submit(play, "turn", followed(first, clip(wide))),
            threads.submit(play, "jump", jump, due_ms),
            threads.submit(play, "wrap", wrap),
        ]
    return {name: recording for run in runs for name, recording in run.result().items()}


def followed(first: Sequence[FlvTag], clip: Path) -> list[FlvTag]:
    """Tags, and those of a clip behind them."""
    second = shifted(flv_tags(clip), end_ms(first))
    return [*first, *(tag for tag in second if tag.type != 18)]


def test_the_outputs_keep_their_size_when_the_source_changes_its(
    changes: Mapping[str, Recording],
) -> None:
    recording = changes["turn/240p"]
    assert recording.decode_error == ""
    assert recording.sizes() == {(426, 240)}
    numbers = [shown.number for shown in recording.shown]
    assert numbers == [*range(90), *range(500, 590)]


def test_a_phone_that_is_turned_gets_renditions_of_its_new_shape(
    changes: Mapping[str, Recording],
) -> None:
    recording = changes["phone/240p"]
    assert recording.decode_error == ""
    sizes = [(shown.width, shown.height) for shown in recording.shown]
    turned_at = sizes.index((426, 240))
    assert set(sizes[:turned_at]) == {(240, 426)}
    assert set(sizes[turned_at:]) == {(426, 240)}
    assert turned_at < 90 + 4.5 * 30, "within some seconds"
    # none lost on the way: letterboxed ones too have their times
    times = [shown.pts_ms for shown in recording.shown]
    assert max(b - a for a, b in itertools.pairwise(times)) <= 60  # the seam of the two clips
    numbers = [shown.number for shown in recording.shown]
    assert numbers[:90] == list(range(90))
    assert numbers[turned_at:] == list(range(410 + turned_at, 710))


def test_timestamps_that_jump_leave_every_rendition_in_step(
    changes: Mapping[str, Recording],
) -> None:
    """The publisher's clock jumps by an hour: players see time go on, the same everywhere."""
    source, rendition = changes["jump/source"], changes["jump/240p"]
    assert source.pts_of() == rendition.pts_of()
    times = [shown.pts_ms for shown in rendition.shown]
    assert times == sorted(times)
    assert times[-1] - times[0] < 8000, "an hour's jump is no hour for players"


def test_timestamps_wrap_at_32_bits(changes: Mapping[str, Recording]) -> None:
    recording = changes["wrap/240p"]
    numbers = [shown.number for shown in recording.shown]
    assert recording.decode_error == ""
    assert numbers == list(range(numbers[0] or 0, 90))

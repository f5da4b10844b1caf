"""Faults of publishers: gone without a word, broken pictures, other formats, times that jump."""

import itertools
import random
import statistics
import time
from collections.abc import Iterable, Sequence

import av
import av.error

from tests.faults.load import LoadPlayer, Picture
from tests.faults.scene import CLIP, CLIP_MS, KEYS, OTHER_SETS, OTHER_SIZE, Result, Scene, Seen
from tests.kit.clients import FlvTag
from tests.kit.clips import luma_of, read_number
from tests.kit.waiting import until

HIT = KEYS[0]
AWAY_S = 5.0
SILENT_S = 2.6


def publisher_vanishes() -> Result:
    with Scene() as scene:
        gone = scene.publisher(HIT)
        at = time.monotonic()
        scene.load.vanish(gone)
        time.sleep(AWAY_S)
        asked = time.monotonic()
        back = scene.load.publish(scene.farm.url(HIT), HIT, gone.script)
        until(lambda: back.is_in, 8, "the publisher is back")
        accepted_s = back.since_s - asked
        time.sleep(4.0)
        row = scene.judge("publisher dropped without FIN, back after 5 s", [HIT], at)
        waits = []
        for player in scene.players([HIT]):
            waits.append(min(p.came_s for p in player.pictures if p.came_s > back.since_s + 0.05))
        row.first_frame_s = statistics.median(waits) - back.since_s
        row.note = f"accepted after {accepted_s:.2f} s; first frame counted from there"
        refused = back.refusals
    row.lost = None
    row.limit = "accepted at once (≤ 0.5 s, not refused), 0 players disconnected, others lose 0"
    row.ok = (
        not refused
        and accepted_s <= 0.5
        and row.disconnected == 0
        and row.others_lost == 0
        and row.repeated == 0
    )
    return row


def publisher_is_silent() -> Result:
    """Its connection stays; what it did not send meanwhile comes all at once."""
    with Scene() as scene:
        publisher = scene.publisher(HIT)
        at = time.monotonic()
        scene.load.ask(lambda: setattr(publisher, "is_silent", True))
        time.sleep(SILENT_S)
        scene.load.ask(lambda: setattr(publisher, "is_silent", False))
        back = time.monotonic()
        time.sleep(3.0)
        row = scene.judge("publisher silent for 2.6 s, its connection open", [HIT], at)
        waits = [s.longest_wait_s for s in scene.seen([HIT], at)]
        firsts = [
            min(p.came_s for p in player.pictures if p.came_s > back) - back
            for player in scene.players([HIT])
        ]
        row.first_frame_s = statistics.median(firsts)
        row.lost = max(_missing(player, back + 1.0) for player in scene.players([HIT]))
    row.limit = "no wait for a picture > 1.5 s, whole again within 1 s of its return, others lose 0"
    row.note = f"longest wait {max(waits):.2f} s"
    row.ok = (
        max(waits) <= 1.5
        and row.lost == 0
        and row.disconnected == 0
        and row.others_lost == 0
        and row.repeated == 0
    )
    return row


def _missing(player: LoadPlayer, since_s: float) -> int:
    pictures = [p for p in player.pictures if p.came_s > since_s and not p.is_header]
    return Seen(player, since_s, pictures).lost


def publisher_returns() -> Result:
    """Another encoder comes back: other size and parameter sets, timestamps from zero."""
    with Scene() as scene:
        witness = scene.load.play(scene.farm.url(HIT, "source"), HIT, "source", keep=True)
        time.sleep(1.5)
        gone = scene.publisher(HIT)
        at = time.monotonic()
        before = _steps_of(witness, gone.script.tags, 0.0, at)
        scene.load.ask(gone.leave)
        time.sleep(AWAY_S)
        script = scene.script(OTHER_SIZE)
        back = scene.load.publish(scene.farm.url(HIT), HIT, script)
        until(lambda: back.is_in, 8, "the publisher is back")
        time.sleep(4.0)
        scene.load.ask(lambda: scene.load.players.remove(witness))
        row = scene.judge("publisher gone, another encoder back after 5 s", [HIT], at)
        after = _steps_of(witness, script.tags, back.since_s, time.monotonic())
        scene.load.ask(witness.drop)
        seen = scene.seen([HIT], at)
        waits = [s.longest_wait_s for s in seen]
        silent = 0.0
        for player in scene.players([HIT]):
            came = [s[0] for s in player.sounds if s[0] > at - 0.5]
            silent = max(silent, *(b - a for a, b in itertools.pairwise(came)))
            times = [s[1] for s in player.sounds]
            row.repeated += sum(b <= a for a, b in itertools.pairwise(times))
        times = [p.dts_ms for p in witness.pictures if not p.is_header]
        row.repeated += sum(b <= a for a, b in itertools.pairwise(times))
        first = [
            min(p.came_s for p in s.pictures if p.came_s > back.since_s and p.is_key) - back.since_s
            for s in seen
        ]
        row.first_frame_s = statistics.median(first)
    row.lost = None
    row.limit = "0 disconnected, time monotonic, A/V in step, pictures and sound go on meanwhile"
    row.note = (
        f"longest wait {max(waits):.2f} s for a picture, {silent:.2f} s for sound; audio less "
        f"video {before:+d} ms before, {after:+d} ms after"
    )
    row.ok = (
        row.disconnected == 0
        and row.others_lost == 0
        and row.repeated == 0
        and max(waits) < 0.7
        and silent < 0.7
        and before == after == 0
    )
    return row


def _steps_of(witness: LoadPlayer, tags: Sequence[FlvTag], since_s: float, until_s: float) -> int:
    """How far audio has moved against video on its way, in ms, by the tags' own bytes."""
    source = {tag.body: tag.dts_ms for tag in tags}

    def moved(pairs: Iterable[tuple[float, int, bytes]]) -> list[int]:
        return [
            (dts_ms - source[body]) % CLIP_MS
            for came_s, dts_ms, body in pairs
            if since_s <= came_s < until_s and body in source
        ]

    video = moved([(p.came_s, p.dts_ms, p.body) for p in witness.pictures if not p.is_header])
    audio = moved(witness.sounds)
    assert len(video) > 20, "pictures of the source"
    assert len(audio) > 20, "its sound"
    return round(statistics.median(audio) - statistics.median(video))


def _numbers(pictures: Sequence[Picture]) -> list[tuple[float, int | None]]:
    """When each picture came, and the number in it; strict decoding."""
    context = av.CodecContext.create("h264", "r")
    context.thread_type = "NONE"
    found: list[tuple[float, int | None]] = []
    came: dict[int, float] = {}
    for picture in pictures:
        if picture.is_header:
            if context.extradata is None:
                context.extradata = picture.body[5:]
            continue
        if context.extradata is None:
            continue
        packet = av.Packet(picture.body[5:])
        packet.pts = packet.dts = picture.dts_ms
        came[picture.dts_ms] = picture.came_s
        for frame in context.decode(packet):
            assert frame.pts is not None
            found.append((came[frame.pts], read_number(luma_of(frame))))
    return found


def corrupt_bitstream() -> Result:
    """Half a second of pictures with random bytes in them, from the middle of a GOP on."""
    with Scene(keep_of=HIT) as scene:
        publisher = scene.publisher(HIT)
        noise = random.Random(4)
        harmed: list[float] = []
        keys_after: list[float] = []
        to_harm = 12

        def harm(tag: FlvTag) -> FlvTag:
            now = time.monotonic()
            if tag.is_key:
                if len(harmed) == to_harm:
                    keys_after.append(now)
                return tag
            if len(harmed) < to_harm:
                harmed.append(now)
                body = bytearray(tag.body)
                for _ in range(max(4, len(body) // 8)):
                    body[noise.randrange(10, len(body))] = noise.randrange(256)
                return FlvTag(tag.type, tag.dts_ms, bytes(body))
            return tag

        at = time.monotonic()
        scene.load.ask(lambda: setattr(publisher, "harm", harm))
        until(lambda: len(keys_after) >= 3, 10, "keyframes after the harm")
        time.sleep(1.0)
        row = scene.judge("corrupt bitstream (12 pictures)", [HIT], at)
        player = next(p for p in scene.players([HIT]) if p.pictures and p.pictures[0].body)
        numbers = _numbers(list(player.pictures))
        good_at = keys_after[0]
        after = [number for came, number in numbers if came > good_at + 0.02]
        unread = sum(number is None for number in after[5:])
        steps = [
            (b - a) % CLIP.frames
            for a, b in itertools.pairwise(after[5:])
            if a is not None and b is not None
        ]
        first = [
            min(p.came_s for p in other.pictures if p.came_s > good_at) - good_at
            for other in scene.players([HIT])
        ]
        row.first_frame_s = statistics.median(first)
        row.note = f"{len(after)} pictures after the next IDR read back, {unread} not"
    row.limit = "only that stream, whole again from the next IDR on"
    row.ok = (
        row.others_lost == 0
        and row.disconnected == 0
        and row.repeated == 0
        and unread == 0
        and len(after) > 40
        and all(step == 1 for step in steps)
        and row.first_frame_s <= 0.5
    )
    return row


def _changed(scene: Scene, name: str, at: float) -> Result:
    time.sleep(5.0)
    row = scene.judge(name, [HIT], at)
    row.first_frame_s = None
    row.limit = "only that stream, 0 disconnected, whole from the next IDR on"
    row.ok = row.others_lost == 0 and row.disconnected == 0 and row.repeated == 0 and row.lost == 0
    return row


def other_size() -> Result:
    with Scene() as scene:
        at = time.monotonic()
        script = scene.script(OTHER_SIZE)
        scene.load.ask(lambda: scene.publisher(HIT).change(script))
        return _changed(scene, "resolution change, 640x360 to 480x270", at)


def other_parameter_sets() -> Result:
    with Scene() as scene:
        at = time.monotonic()
        script = scene.script(OTHER_SETS)
        scene.load.ask(lambda: scene.publisher(HIT).change(script))
        return _changed(scene, "other SPS and PPS, same size", at)


def time_jump() -> Result:
    with Scene() as scene:
        at = time.monotonic()
        scene.load.ask(lambda: scene.publisher(HIT).jump(2 * 3600 * 1000))
        time.sleep(2.5)
        scene.load.ask(lambda: scene.publisher(HIT).jump(-2 * 3600 * 1000))
        row = _changed(scene, "timestamps jump 2 h ahead, and back", at)
        waits = [s.longest_wait_s for s in scene.seen([HIT], at)]
        row.note = f"longest wait for a picture {max(waits):.2f} s"
        # The new offset lands at now, which may be a picture's jitter later than the old.
        row.ok = (
            row.others_lost == 0
            and row.disconnected == 0
            and row.repeated == 0
            and (row.lost or 0) <= 1
            and max(waits) < 1.5
        )
        return row


def time_wrap() -> Result:
    with Scene(start_ms=(1 << 32) - 9_000) as scene:
        at = time.monotonic()
        publisher = scene.publisher(HIT)
        until(
            lambda: time.monotonic() - publisher.since_s > 10.0, 15, "the timestamps have wrapped"
        )
        time.sleep(2.0)
        row = scene.judge("32-bit timestamps wrap, in all streams", KEYS, at)
        wrapped = all(p.pictures[-1].dts_ms >= 1 << 32 for p in scene.load.players)
    row.first_frame_s = None
    row.limit = "0 lost, 0 disconnected"
    row.note = "" if wrapped else "players' times did not wrap"
    row.ok = row.lost == 0 and row.disconnected == 0 and row.repeated == 0 and wrapped
    return row

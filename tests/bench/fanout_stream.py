"""What `fanout` sends: one GOP of pictures and sound, and its bytes as egress makes them."""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from common.config.ladder import SOURCE
from common.ipc.media_messages import KEY
from tests.kit.egress import (
    METADATA,
    RTMP_FORM,
    VIDEO_HEADER,
    FlushReader,
    egress_rendition,
    give,
    give_shared,
    head,
)

FPS = 30
GOP = 60  # frames; a turn's too
KEY_WEIGHT = 6  # a keyframe is so many times an ordinary one
AUDIO_MS = 1024 * 1000 / 48000
AUDIO_BYTES = 370  # 128 kbit/s
TURN_MS = GOP * 1000 // FPS


@dataclass(frozen=True)
class Piece:
    """One tag of the stream."""

    tag_type: int
    dts_ms: int
    flags: int
    body: bytes


def turn(kbps: int) -> list[list[Piece]]:
    """The tags of one GOP, by frame: a picture, and the sound up to it."""
    noise = random.Random(7)
    mean = kbps * 1000 / 8 / FPS * GOP / (GOP - 1 + KEY_WEIGHT)
    made = []
    sounds = 0
    for i in range(GOP):
        dts_ms = i * 1000 // FPS
        pieces = []
        while sounds * AUDIO_MS <= dts_ms:
            body = b"\xaf\x01" + noise.randbytes(AUDIO_BYTES)
            pieces.append(Piece(8, int(sounds * AUDIO_MS), 0, body))
            sounds += 1
        size = int(mean * (KEY_WEIGHT if i == 0 else noise.uniform(0.6, 1.4)))
        body = (b"\x27\x01" if i else b"\x17\x01") + bytes(3) + noise.randbytes(size)
        pieces.append(Piece(9, dts_ms, 0 if i else KEY, body))
        made.append(pieces)
    return made


def flushes(made: Sequence[Sequence[Piece]]) -> list[bytes]:
    """The bytes that egress sends for each frame to a player in step."""
    rendition = egress_rendition(SOURCE, audio_hold_s=1.0)
    rendition.open(METADATA, VIDEO_HEADER, 0)
    reader = FlushReader(rendition)
    number = 0
    out = []
    for pieces in made:
        for piece in pieces:
            item = head(piece.tag_type, piece.dts_ms, piece.flags), piece.body
            if piece.tag_type == 8:
                give_shared(rendition, item)
            else:
                give(rendition, number, item)
                number += 1
        out.append(b"".join(e.shared(RTMP_FORM) for e in reader.take()))
    return out


def frames_in_time(count: int) -> Iterator[int]:
    """Frame numbers, each when it is due."""
    started = time.monotonic()
    for i in range(count):
        time.sleep(max(0.0, started + i / FPS - time.monotonic()))
        yield i

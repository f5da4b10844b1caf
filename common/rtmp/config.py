"""What a server session announces to its peer, and what the peer may make it hold."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from common.rtmp.chunks import MAX_CHUNK_SIZE, ChunkLimits


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """What a session announces, and what a peer may make it hold."""

    chunk_size: int = 60_000  # of our output; FFmpeg publishers copy it for theirs
    window_ack_size: int = 2_500_000
    peer_bandwidth: int = 2_500_000
    # Encoders that never announce a window still stop after a while without acknowledgements.
    ack_every: int = 1_250_000
    max_message_bytes: int = 10 * 1024 * 1024  # while publishing
    max_command_bytes: int = 64 * 1024  # of every message before that
    max_partial_bytes: int = 20 * 1024 * 1024  # of all unfinished messages, while publishing
    max_unread_bytes: int = 64 * 1024  # of input that waits for a request's answer
    max_chunk_streams: int = 256
    max_message_streams: int = 8
    max_calls_per_minute: int = 1000  # commands and pings: all that a peer can have answered
    # Messages of a few bytes: they cost as much work as any, and may come a million in a megabyte.
    # Silent audio is 3,000 a minute.
    max_small_messages_per_minute: int = 30_000
    # Metadata is decoded. It comes once, or with each keyframe; more of it is handed on unread.
    max_metadata_bytes_per_minute: int = 256 * 1024
    random: Callable[[int], bytes] = os.urandom

    def __post_init__(self) -> None:
        # SRS and others refuse less than 128; control messages count on a chunk of their own.
        if not 128 <= self.chunk_size <= MAX_CHUNK_SIZE:
            raise ValueError(f"chunk size {self.chunk_size} is not within 128..{MAX_CHUNK_SIZE}")

    def command_limits(self) -> ChunkLimits:
        """What the chunk reader may hold before and after publishing."""
        return ChunkLimits(
            max_message_bytes=self.max_command_bytes,
            max_partial_bytes=self.max_command_bytes,
            max_chunk_streams=self.max_chunk_streams,
        )

    def media_limits(self) -> ChunkLimits:
        """What it may hold while publishing."""
        return ChunkLimits(
            max_message_bytes=self.max_message_bytes,
            max_partial_bytes=self.max_partial_bytes,
            max_chunk_streams=self.max_chunk_streams,
        )


DEFAULT_CONFIG: Final = SessionConfig()

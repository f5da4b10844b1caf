"""What a publisher may send at most, as an operator says it, and what is beyond that. Pure.

The defaults keep out what no encoder in use sends, and nothing else. 5120x4096, in either
direction, holds the largest frame of H.264 level 5.2 (4096x2304), what NVENC makes and NVDEC takes
of H.264 (4096x4096), and a screen of 5K (5120x2880); 8K is beyond it: a device that keeps up with
that is one whose operator can say so. 300 Mbit/s and 16 reference frames are the most of level 5.2
in High profile (ITU-T H.264 tables A-1 and A-2, A.3.1), 300 frames a second the most of any level.
"""

from dataclasses import dataclass
from fractions import Fraction

MAX_REFERENCE_FRAMES = 16  # of any level


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Hard limits of one template's streams; 0 means no limit where that is the default."""

    size: tuple[int, int] = (5120, 4096)  # long and short side, whichever way it stands
    fps: int = 300
    bitrate_bps: int = 300_000_000
    reference_frames: int = MAX_REFERENCE_FRAMES
    duration_s: float = 0.0  # of one publish
    publishers: int = 0  # streams of the app at once
    players: int = 0  # of the app's streams together, at one egress process


def beyond_header(limits: StreamLimits, width: int, height: int, reference_frames: int) -> str:
    """What of a sequence header is beyond the limits, for its publisher; "": nothing."""
    long, short = max(limits.size), min(limits.size)
    if max(width, height) > long or min(width, height) > short:
        return (
            f"a picture of {width}x{height} is larger than the {long}x{short} that this app takes "
            "(max_size): publish a smaller one"
        )
    if reference_frames > limits.reference_frames:
        return (
            f"{reference_frames} reference frames are more than the {limits.reference_frames} that "
            "this app takes (max_reference_frames): set the encoder to fewer (x264: ref="
            f"{limits.reference_frames})"
        )
    return ""


def beyond_fps(limits: StreamLimits, fps: Fraction) -> str:
    """Why a measured frame rate is too high, for its publisher; "": it is not."""
    if fps <= limits.fps:
        return ""
    return (
        f"{float(fps):.4g} pictures a second are more than the {limits.fps} that this app takes "
        f"(max_fps): set the encoder to {limits.fps} or less"
    )


def beyond_bitrate(limits: StreamLimits, bitrate_bps: float) -> str:
    """Why a measured bitrate, sound included, is too high, for its publisher; "": it is not."""
    if bitrate_bps <= limits.bitrate_bps:
        return ""
    return (
        f"{bitrate_bps / 1e6:.4g} Mbit/s are more than the {limits.bitrate_bps / 1e6:.4g} that "
        "this app takes (max_bitrate): set the encoder to a lower bitrate"
    )


def too_many_publishers(limits: StreamLimits) -> str:
    """Why one more stream of the app is refused."""
    return (
        f"this app has the {limits.publishers} publishers that it takes (max_publishers): end "
        "another of its streams, or try again later"
    )


def too_many_players(limits: StreamLimits) -> str:
    """Why one more player of the app is refused."""
    return f"this app has the {limits.players} players that it takes (max_players)"

"""What a publisher sends beside the tracks that are served: further tracks of Enhanced RTMP. Pure.

Nobody is given them; how much they are is for people, and for how the publisher is read. `now` is
CLOCK_MONOTONIC in seconds.
"""

from common.media.rates import Throughput
from ingest.streams.media_events import TrackOmitted

MAX_TRACKS = 16  # told apart; real senders have up to 8


class OmittedTracks:
    """Of one publisher, by kind, number and codec."""

    def __init__(self) -> None:
        self._tracks: dict[tuple[str, str], Throughput] = {}
        self._forms: dict[tuple[str, str], str] = {}  # of tracks that said theirs

    def __bool__(self) -> bool:
        return bool(self._tracks)

    def count(self, part: TrackOmitted) -> bool:
        """Count a part of one; whether it is the first of its track."""
        key = (part.name, part.codec)
        track = self._tracks.get(key)
        if track is None:
            if len(self._tracks) >= MAX_TRACKS:
                return False
            track = self._tracks[key] = Throughput()
        if part.form:
            self._forms[key] = part.form
        is_first = not track.frames
        track.count(1, part.size, part.received_s)
        return is_first

    def descriptions(self, now: float) -> tuple[str, ...]:
        """`video track 1 (H.264, 4.0 Mbit/s)`, each; of sound its form, if it was said."""
        return tuple(
            f"{key[0]} ({self._forms.get(key) or key[1]}, "
            f"{track.bits_per_second(now) / 1e6:.1f} Mbit/s)"
            for key, track in self._tracks.items()
        )

    def words(self, now: float) -> str:
        """All of them in a line."""
        return ", ".join(self.descriptions(now))

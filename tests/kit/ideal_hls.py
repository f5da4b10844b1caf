"""A Low-Latency HLS server as it should be, in virtual time, so that a client can be tried on it.

Two variants of one picture track, and its sound apart. What it answers may be changed on its way,
which makes of it a server that is not as it should be.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from urllib.parse import parse_qs, urlsplit

from common.codecs.table import codec_string
from common.media.units import AudioCodec, VideoCodec
from common.mp4.fragments import Run, Sample, fragment
from common.mp4.init_segment import Track, init_segment
from tests.kit.coded_tracks import CodedTrack, coded_track
from tests.kit.hls_client import Request, Response, StrictClient

SEGMENT_S = 0.48
TARGET_S = 1
SECONDS = 9.0
SKIP_S = 6.0
BEGAN = datetime(2026, 11, 30, 12, tzinfo=UTC)
CONTROL = "CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.4,CAN-SKIP-UNTIL=6.0"
PLAYLIST_TYPE = "application/vnd.apple.mpegurl"

Change = Callable[[str, Response], Response]


@dataclass(frozen=True)
class _Part:
    number: int
    index: int
    ready_at: float
    duration: float
    has_key: bool
    is_last: bool
    data: bytes


class _Media:
    """One track, cut into parts of a number of samples."""

    def __init__(self, coded: CodedTrack, samples_a_part: int) -> None:
        self.track = Track(coded.config, coded.timescale, is_reordered=False)
        self.init = init_segment([self.track])
        self.part_target = samples_a_part * coded.samples[0].duration / coded.timescale
        self.parts: list[_Part] = []
        at, number, samples = 0, 0, list[Sample]()
        for place, sample in enumerate(coded.samples):
            samples.append(sample)
            end = at + sum(one.duration for one in samples)
            is_last = int(end / coded.timescale / SEGMENT_S + 1e-6) > number
            if is_last or len(samples) == samples_a_part or place == len(coded.samples) - 1:
                self._cut(number, at, samples, end, is_last=is_last)
                at, samples = end, []
                number += is_last

    def _cut(self, number: int, at: int, samples: list[Sample], end: int, *, is_last: bool) -> None:
        index = sum(part.number == number for part in self.parts[-40:])
        scale = self.track.timescale
        data = fragment(len(self.parts) + 1, [Run(self.track.number, at, samples)])
        has_key = any(sample.is_key for sample in samples)
        duration = (end - at) / scale
        self.parts.append(_Part(number, index, end / scale, duration, has_key, is_last, data))

    def ready(self, now: float) -> list[_Part]:
        return [part for part in self.parts if part.ready_at <= now + 1e-9]


@cache
def _media(codec: VideoCodec | AudioCodec, samples_a_part: int) -> _Media:
    return _Media(coded_track(codec, SECONDS), samples_a_part)


class IdealServer:
    """It answers at a time: with what there is, or None where it waits."""

    def __init__(self, change: Change = lambda url, response: response, *, window: int = 8) -> None:
        """`window`: how many whole segments a playlist has."""
        pictures, sound = _media(VideoCodec.H264, 3), _media(AudioCodec.AAC, 5)
        self.media = {"low": pictures, "high": pictures, "sound": sound}
        self.codecs = [codec_string(one.track.config) for one in (pictures, sound)]
        self._change = change
        self._window = window

    def answer(self, url: str, now: float) -> Response | None:
        found = self._found(url, now)
        return self._change(url, found) if found is not None else None

    def _found(self, url: str, now: float) -> Response | None:
        parts, query = urlsplit(url), parse_qs(urlsplit(url).query)
        path = parts.path.strip("/")
        if path == "index.m3u8":
            return Response(200, {"content-type": PLAYLIST_TYPE}, self._multivariant().encode())
        name, _, file = path.partition("/")
        if file == "index.m3u8":
            return self._playlist(name, query, now)
        media = self.media[name]
        if file == "init.mp4":
            return Response(200, {}, media.init)
        number, *index = (int(one) for one in file.removesuffix(".m4s").split("."))
        wanted = [
            part for part in media.parts
            if part.number == number and (not index or part.index == index[0])
        ]  # fmt: skip
        if not wanted or wanted[-1].ready_at > now + SEGMENT_S:
            return Response(404, {}, b"")
        if wanted[-1].ready_at > now + 1e-9:
            return None
        return Response(200, {}, b"".join(part.data for part in wanted))

    def _multivariant(self) -> str:
        codecs = ",".join(self.codecs)
        lines = ["#EXTM3U", "#EXT-X-VERSION:6", "#EXT-X-INDEPENDENT-SEGMENTS"]
        lines.append(
            '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="sound",NAME="sound",DEFAULT=YES,AUTOSELECT=YES,'
            'CHANNELS="2",URI="sound/index.m3u8"'
        )
        for name in ("low", "high"):
            lines.append(
                f'#EXT-X-STREAM-INF:BANDWIDTH=400000,CODECS="{codecs}",RESOLUTION=192x108,'
                'FRAME-RATE=25.000,AUDIO="sound"'
            )
            lines.append(f"{name}/index.m3u8")
        return "\n".join(lines) + "\n"

    def _playlist(self, name: str, query: dict[str, list[str]], now: float) -> Response | None:
        ready = self.media[name].ready(now)
        last = (ready[-1].number, ready[-1].index) if ready else (-1, -1)
        if "_HLS_part" in query and "_HLS_msn" not in query:
            return Response(400, {}, b"")
        if "_HLS_msn" in query:
            number = int(query["_HLS_msn"][0])
            if number > last[0] + 2:
                return Response(400, {}, b"")
            part = int(query.get("_HLS_part", ["-1"])[0])
            is_there = last >= (number, part) if part >= 0 else self._complete(ready) > number
            if not is_there:
                return None
        if len(ready) < 5:
            return None
        text = self._text(name, ready, now, skips="_HLS_skip" in query)
        return Response(200, {"content-type": PLAYLIST_TYPE}, text.encode())

    def _complete(self, ready: list[_Part]) -> int:
        return sum(part.is_last for part in ready)

    def _text(self, name: str, ready: list[_Part], now: float, *, skips: bool) -> str:
        complete = self._complete(ready)
        first = max(0, complete - self._window)
        target = self.media[name].part_target
        lines = [
            *("#EXTM3U", f"#EXT-X-VERSION:{9 if skips else 6}"),
            f"#EXT-X-TARGETDURATION:{TARGET_S}",
            f"#EXT-X-SERVER-CONTROL:{CONTROL}",
            f"#EXT-X-PART-INF:PART-TARGET={target:.5f}",
            f"#EXT-X-MEDIA-SEQUENCE:{first}",
            "#EXT-X-INDEPENDENT-SEGMENTS",
        ]
        if skips:
            skipped = max(0, complete - first - round(SKIP_S / SEGMENT_S))
            lines.append(f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")
            first += skipped
        lines.append('#EXT-X-MAP:URI="init.mp4"')
        for number in range(first, complete + 1):
            parts = [part for part in ready if part.number == number]
            if not parts:
                continue
            date = BEGAN + timedelta(seconds=number * SEGMENT_S)
            lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{date.isoformat(timespec='milliseconds')}")
            if number > complete - 7:
                lines += [_part_line(part) for part in parts]
            if number < complete:
                total = sum(part.duration for part in parts)
                lines += [f"#EXTINF:{total:.5f},", f"{number}.m4s"]
        lines += self._at_the_end(name, ready, now)
        return "\n".join(lines) + "\n"

    def _at_the_end(self, name: str, ready: list[_Part], now: float) -> list[str]:
        last = ready[-1]
        following = (last.number + 1, 0) if last.is_last else (last.number, last.index + 1)
        lines = [f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{following[0]}.{following[1]}.m4s"']
        for other, media in self.media.items():
            if other != name:
                newest = media.ready(now)[-1]
                at = f"LAST-MSN={newest.number},LAST-PART={newest.index}"
                lines.append(f'#EXT-X-RENDITION-REPORT:URI="../{other}/index.m3u8",{at}')
        return lines


def _part_line(part: _Part) -> str:
    key = ",INDEPENDENT=YES" if part.has_key else ""
    uri = f"{part.number}.{part.index}.m4s"
    return f'#EXT-X-PART:DURATION={part.duration:.5f},URI="{uri}"{key}'


def watch(
    client: StrictClient,
    answer: Callable[[str, float], Response | None],
    until_s: float,
    step_s: float = 0.02,
) -> float:
    """Let a client watch in virtual time; the time at its end. Raises what it raises.

    Answers go back in the order in which they were asked for, at the step at which they are there.
    """
    waiting: list[Request] = []
    for step in range(round(until_s / step_s)):
        now, is_quiet = step * step_s, False
        while not is_quiet:
            waiting += client.wanted()
            left = []
            for request in waiting:
                found = answer(request.url, now)
                if found is None:
                    left.append(request)
                else:
                    client.take(request, found, now)
            is_quiet, waiting = len(left) == len(waiting), left
    return until_s

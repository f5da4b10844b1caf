"""Reads fragmented MP4 as a player does, knowing nothing of who made it: boxes, tracks, samples."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

HOLDERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"dinf", b"mvex", b"moof", b"traf"}


class Box(NamedTuple):
    kind: bytes
    content: bytes  # without the header
    begin: int  # of the header, in the whole
    inside: tuple["Box", ...]

    def find(self, *path: bytes) -> "Box":
        """The first box at a path of kinds below this one."""
        found = self
        for kind in path:
            found = next(box for box in found.inside if box.kind == kind)
        return found

    def all(self, kind: bytes) -> list["Box"]:
        return [box for box in self.inside if box.kind == kind]


def boxes(data: bytes, base: int = 0) -> list[Box]:
    """All boxes; what does not add up is an AssertionError."""
    found, at = [], 0
    while at < len(data):
        assert len(data) - at >= 8, "half a header"
        size, kind = struct.unpack_from(">I4s", data, at)
        assert 8 <= size <= len(data) - at, f"{kind!r} of {size} bytes"
        content = data[at + 8 : at + size]
        inside = tuple(boxes(content, base + at + 8)) if kind in HOLDERS else ()
        found.append(Box(kind, content, base + at, inside))
        at += size
    return found


class Sample(NamedTuple):
    track: int
    dts: int  # in the track's timescale
    pts: int
    duration: int
    is_key: bool
    data: bytes


@dataclass
class Movie:
    """What a player knows behind some bytes."""

    timescales: dict[int, int] = field(default_factory=dict)
    entries: dict[int, Box] = field(default_factory=dict)  # each track's sample entry
    samples: list[Sample] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    ends: list[bytes] = field(default_factory=list)  # contents of `free`

    def of(self, track: int) -> list[Sample]:
        return [sample for sample in self.samples if sample.track == track]


def read_movie(data: bytes) -> Movie:
    """A whole body."""
    movie = Movie()
    found = boxes(data)
    for at, box in enumerate(found):
        match box.kind:
            case b"moov":
                _read_tracks(box, movie)
            case b"moof":
                assert found[at + 1].kind == b"mdat", "a fragment without its data"
                _read_fragment(data, box, found[at + 1], movie)
            case b"free":
                movie.ends.append(box.content)
            case b"ftyp" | b"mdat":
                pass
            case _:
                raise AssertionError(f"{box.kind!r} has no place here")
    return movie


def _read_tracks(moov: Box, movie: Movie) -> None:
    for trak in moov.all(b"trak"):
        (track,) = struct.unpack_from(">I", trak.find(b"tkhd").content, 12)
        (timescale,) = struct.unpack_from(">I", trak.find(b"mdia", b"mdhd").content, 12)
        movie.timescales[track] = timescale
        description = trak.find(b"mdia", b"minf", b"stbl", b"stsd").content
        movie.entries[track] = boxes(description[8:])[0]


def _read_fragment(data: bytes, moof: Box, mdat: Box, movie: Movie) -> None:
    movie.numbers += struct.unpack_from(">4xI", moof.find(b"mfhd").content)
    end = mdat.begin + 8
    for traf in moof.all(b"traf"):
        flags, track = struct.unpack(">II", traf.find(b"tfhd").content)
        assert flags == 0x020000, "offsets must count from moof"
        version, dts = struct.unpack(">IQ", traf.find(b"tfdt").content)
        assert version == 1 << 24
        for duration, key, composition, body in _samples(data, moof.begin, traf.find(b"trun")):
            begin, sample = body
            assert begin == end, "samples lie one behind the other"
            end += len(sample)
            movie.samples.append(Sample(track, dts, dts + composition, duration, key, sample))
            dts += duration
    assert end == mdat.begin + 8 + len(mdat.content), "data of no sample"


def _samples(
    data: bytes, base: int, trun: Box
) -> Iterator[tuple[int, bool, int, tuple[int, bytes]]]:
    flags, count, offset = struct.unpack_from(">IIi", trun.content)
    assert flags == 1 << 24 | 0xF01
    assert len(trun.content) == 12 + 16 * count
    at = base + offset
    for place in range(count):
        duration, size, kind, composition = struct.unpack_from(
            ">IIIi", trun.content, 12 + 16 * place
        )
        yield duration, not kind & 0x10000, composition, (at, data[at : at + size])
        at += size


def unchunked(body: bytes) -> tuple[bytes, bool]:
    """The contents of an HTTP body in chunks, and whether its last chunk has come."""
    found: list[bytes] = []
    at = 0
    while at < len(body):
        size_end = body.index(b"\r\n", at)
        size = int(body[at:size_end], 16)
        if not size:
            assert body[size_end:] == b"\r\n\r\n"
            return b"".join(found), True
        found.append(body[size_end + 2 : size_end + 2 + size])
        at = size_end + 2 + size + 2
    return b"".join(found), False


def kinds(data: bytes) -> Sequence[bytes]:
    return [box.kind for box in boxes(data)]

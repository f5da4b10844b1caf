"""A publisher's H.265, whatever protocol it came by, as units and configurations.

As `h264_input`: messages become access units (`common.codecs.h265_access_units`), and these get
their time; parameter sets in band that differ from the record make a new one, ahead of the unit
that they came in, and so they do where no record came at all. RASL pictures of the CRA picture that
a publisher begins with refer to what was never sent: they are left out.

Pure, one a publisher. What cannot be read comes out as `Dropped`; nothing raises.
"""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from common.codecs.bits import BitReader
from common.codecs.h264 import looks_like_annexb, merged_sets, split_annexb
from common.codecs.h264_access_units import MessageFacts
from common.codecs.h265 import (
    MAX_SETS,
    RASL,
    HevcConfig,
    parameter_sets_in,
    video_config,
)
from common.codecs.h265_access_units import HevcAssembler, HevcUnit, clean_nals
from common.codecs.h265_sps import parse_sps
from common.errors import HevcError, ProtocolError
from common.media.units import Data, MediaKind, VideoCodec, VideoConfig, VideoUnit
from ingest.streams.h264_input import MAX_RECORD_BYTES
from ingest.streams.media_events import Dropped, dropped_video
from ingest.streams.unit_maker import PictureTimes, UnitMaker

H265Result = VideoConfig | VideoUnit | Dropped
_SPS_HEADER = 33 << 1


class H265Input:
    """One publisher's video messages, in the order of arrival."""

    def __init__(self, times: PictureTimes) -> None:
        self._maker = UnitMaker(VideoCodec.H265, times)
        self._assembler = HevcAssembler()
        self._config: HevcConfig | None = None
        self._has_lengths = False  # a record said how long they are, or none is waited for
        self._known_sets: frozenset[bytes] = frozenset()
        self._is_begun = False  # a picture that decoders can begin at has come
        self._omits_leading = False

    def declare_rate(self, fps: Fraction | None) -> None:
        """Take the frame rate that the publisher states beside its video."""
        self._maker.declare_rate(fps)

    def record(self, record: bytes) -> list[H265Result]:
        """Take a configuration record."""
        if not record:
            return [dropped_video("empty sequence header")]
        try:
            if looks_like_annexb(record):
                config = HevcConfig.from_parameter_sets(*parameter_sets_in(split_annexb(record)))
                record = config.encode()
            else:
                config = HevcConfig.parse(record)
                if record[0] != 1:
                    record = config.encode()
            self._has_lengths = True
            if config.sps and config.pps:
                return self._configured(config, record)
            if self._config is None:
                self._assembler.length_size = config.nal_length_size
            return [dropped_video("sequence header without parameter sets")]
        except ProtocolError as error:
            return [dropped_video("unreadable sequence header", error)]

    def _configured(self, config: HevcConfig, record: bytes) -> list[H265Result]:
        """The config if it says anything new. Raises HevcError when its SPS cannot be read."""
        if len(record) > MAX_RECORD_BYTES:
            raise HevcError(f"HEVC configuration of {len(record)} bytes exceeds {MAX_RECORD_BYTES}")
        known = frozenset((*config.vps, *config.sps, *config.pps))
        before = self._config
        if (
            before is not None
            and known == self._known_sets
            and config.nal_length_size == before.nal_length_size
        ):
            return []
        sps = parse_sps(config.sps[0])
        self._config = config
        self._known_sets = known
        self._assembler.length_size = config.nal_length_size
        self._maker.configure(sps.fps)
        return [video_config(record, sps)]

    def message(self, data: Data, message: MessageFacts) -> list[H265Result]:
        """Take a message's NAL units."""
        if not self._has_lengths:
            if not _has_parameter_sets(data):
                return [dropped_video("video before its sequence header")]
            self._has_lengths = True
        assembler = self._assembler
        try:
            units = assembler.add(data, message)
        except ProtocolError as error:
            reason = "NAL units beyond their tag"
            return [Dropped(MediaKind.VIDEO, reason, str(error), breaks_references=True)]
        results: list[H265Result] = []
        for unit in units:
            results += self._unit(unit)
        if not units and assembler.waiting_since_s is None:
            results += self._in_band(assembler.parameter_sets_ahead)
            if any(isinstance(result, Dropped) for result in results):
                assembler.drop_parameter_sets_ahead()
            if not assembler.has_nals:
                results.append(dropped_video("video tag without a picture"))
        return results

    def flush(self, before_s: float) -> list[H265Result]:
        """What waits for more of its picture, if the last of it came before then."""
        since_s = self._assembler.waiting_since_s
        if since_s is None or since_s >= before_s:
            return []
        return [result for unit in self._assembler.flush() for result in self._unit(unit)]

    def _unit(self, unit: HevcUnit) -> list[H265Result]:
        results = self._in_band(unit.parameter_sets) if unit.parameter_sets else []
        if self._config is None:
            return [*results, dropped_video("video before its parameter sets")]
        if unit.is_irap:
            self._omits_leading = not self._is_begun
            self._is_begun = True
        elif self._omits_leading and unit.kind in RASL:
            return [*results, dropped_video("leading picture without what it refers to")]
        results.append(
            self._maker.unit(
                unit.data,
                unit.message,
                is_random_access=unit.is_irap,
                is_claimed=unit.message.is_flagged or unit.is_recovery_point,
                replaces_last=unit.replaces_last,
            )
        )
        return results

    def _in_band(self, nals: Sequence[bytes]) -> list[H265Result]:
        """The parameter sets of an access unit merged into the config, if they are new."""
        if all(nal in self._known_sets for nal in nals):
            return []
        vps, sps, pps = parameter_sets_in(nals)
        config = self._config
        try:
            merged = (
                merged_sets(config.vps if config else (), vps, _vps_id),
                merged_sets(config.sps if config else (), sps, _sps_id),
                merged_sets(config.pps if config else (), pps, _pps_id),
            )
            if any(len(nals) > MAX_SETS for nals in merged):
                return [dropped_video("too many parameter sets in band")]
            if not merged[1] or not merged[2]:
                return []
            fresh = HevcConfig.from_parameter_sets(*merged, self._assembler.length_size)
            if config is not None:
                fresh = replace(fresh, sei=config.sei)
            return self._configured(fresh, fresh.encode())
        except ProtocolError as error:
            return [dropped_video("unreadable parameter sets in band", error)]


def _has_parameter_sets(data: Data) -> bool:
    """Whether there is an SPS in a message that comes before any record."""
    try:
        nals, _ = clean_nals(data, 4)
    except ProtocolError:
        return False
    return any(nal[0] & 0x7E == _SPS_HEADER for nal in nals)


def _vps_id(nal: bytes) -> int:
    return BitReader(nal[2:3], HevcError).bits(4)


def _sps_id(nal: bytes) -> int:
    return parse_sps(nal).sps_id


def _pps_id(nal: bytes) -> int:
    return BitReader(nal[2:9], HevcError).ue()

"""A publisher's H.264, whatever protocol it came by, as units and configurations.

Messages become access units (`common.codecs.h264_access_units`), and these get their time. A record
that repeats the known one says nothing; parameter sets in band that differ from it make a new one,
ahead of the unit that they came in. So they do where no record came at all; lengths have 4 bytes
then. Where messages show that the record is wrong about their lengths, it is put right.

Pure, one a publisher. What cannot be read comes out as `Dropped`; nothing raises.
"""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from common.codecs.bits import BitReader
from common.codecs.h264 import (
    AvcConfig,
    NalType,
    looks_like_annexb,
    merged_sets,
    parameter_sets_in,
    parse_sps,
    split_annexb,
    video_config,
)
from common.codecs.h264_access_units import (
    AccessUnit,
    AccessUnitAssembler,
    MessageFacts,
    clean_config,
    clean_nals,
    fitting_length_size,
)
from common.errors import AvcError
from common.media.units import Data, MediaKind, VideoCodec, VideoConfig, VideoUnit
from ingest.streams.media_events import Dropped, dropped_video
from ingest.streams.unit_maker import PictureTimes, UnitMaker

# What a picture may refer to (H.264 7.4.2.1.1, 7.4.2.2): more at once are an attack.
MAX_SPS = 32
MAX_PPS = 256
_START_CODE = b"\x00\x00\x01"
MAX_RECORD_BYTES = 16 * 1024  # kept, and sent to every player; real ones have 30 to 200

H264Result = VideoConfig | VideoUnit | Dropped


class H264Input:
    """One publisher's video messages, in the order of arrival."""

    def __init__(self, times: PictureTimes) -> None:
        self._maker = UnitMaker(VideoCodec.H264, times)
        self._assembler = AccessUnitAssembler()
        self._length_size: int | None = None  # None: no record yet
        self._config: AvcConfig | None = None
        self._known_sets: frozenset[bytes] = frozenset()

    def declare_rate(self, fps: Fraction | None) -> None:
        """Take the frame rate that the publisher states beside its video."""
        self._maker.declare_rate(fps)

    def record(self, record: bytes) -> list[H264Result]:
        """Take a configuration record."""
        if not record:
            return [dropped_video("empty sequence header")]
        try:
            if looks_like_annexb(record):
                sps, pps = parameter_sets_in(split_annexb(record))
                config = AvcConfig.from_parameter_sets(sps, pps)
                record = config.encode()
            else:
                parsed = AvcConfig.parse(record)
                config = clean_config(parsed)
                if config is not parsed or record[0] != 1 or _START_CODE in record:
                    record = config.encode()
            known = self._config
            if known is None:
                self._length_size = config.nal_length_size
            if config.sps and config.pps:
                return self._configured(config, record)
            if known is not None and known.nal_length_size != config.nal_length_size:
                # The units to come have its lengths, whose parameter sets stay the known ones.
                config = replace(known, nal_length_size=config.nal_length_size)
                return self._configured(config, config.encode())
            return [dropped_video("sequence header without parameter sets")]
        except AvcError as error:
            return [dropped_video("unreadable sequence header", error)]

    def _configured(self, config: AvcConfig, record: bytes) -> list[H264Result]:
        """The config if it says anything new. Raises AvcError when its SPS cannot be read."""
        if len(record) > MAX_RECORD_BYTES:
            raise AvcError(f"AVC configuration of {len(record)} bytes exceeds {MAX_RECORD_BYTES}")
        before = self._config
        known = frozenset(_comparable(nal) for nal in (*config.sps, *config.pps))
        if (
            before is not None
            and known == self._known_sets
            and config.nal_length_size == before.nal_length_size
        ):
            return []
        sps = parse_sps(config.sps[0])
        self._config = config
        self._known_sets = known
        self._length_size = config.nal_length_size
        self._assembler.configure(config)
        self._maker.configure(sps.fps)
        return [video_config(record, sps)]

    def message(self, data: Data, message: MessageFacts) -> list[H264Result]:
        """Take a message's NAL units."""
        if self._length_size is None:
            if not _has_parameter_sets(data):
                return [dropped_video("video before its sequence header")]
            self._length_size = 4
        assembler = self._assembler
        results: list[H264Result] = []
        try:
            units = assembler.add(data, message)
        except AvcError as error:
            results = self._correct_lengths(data)
            if not results:
                reason = "NAL units beyond their tag"
                return [Dropped(MediaKind.VIDEO, reason, str(error), breaks_references=True)]
            units = assembler.add(data, message)
        for unit in units:
            results += self._unit(unit)
        if not units and assembler.waiting_since_s is None:
            results += self._in_band(assembler.parameter_sets_ahead)
            if any(isinstance(result, Dropped) for result in results):
                assembler.drop_parameter_sets_ahead()
            if (
                not assembler.has_nals
            ):  # filler is nothing lost, nor what goes with the next picture
                results.append(dropped_video("video tag without a picture"))
        return results

    def _correct_lengths(self, data: Data) -> list[H264Result]:
        """A configuration with another size of lengths, if the record is wrong about it."""
        length_size = fitting_length_size(data, self._length_size or 4)
        if length_size is None or self._config is None:
            return []
        config = replace(self._config, nal_length_size=length_size)
        return self._configured(config, config.encode())

    def flush(self, before_s: float) -> list[H264Result]:
        """What waits for more of its picture, if the last of it came before then."""
        since_s = self._assembler.waiting_since_s
        if since_s is None or since_s >= before_s:
            return []
        return [result for unit in self._assembler.flush() for result in self._unit(unit)]

    def _unit(self, unit: AccessUnit) -> list[H264Result]:
        results = self._in_band(unit.parameter_sets) if unit.parameter_sets else []
        if self._config is None:
            return [*results, dropped_video("video before its parameter sets")]
        message = unit.message
        results.append(
            self._maker.unit(
                unit.data,
                message,
                is_random_access=unit.is_idr,
                is_claimed=message.is_flagged or unit.is_recovery_point,
                replaces_last=unit.replaces_last,
            )
        )
        return results

    def _in_band(self, nals: Sequence[bytes]) -> list[H264Result]:
        """The parameter sets of an access unit merged into the config, if they are new."""
        sps, pps = parameter_sets_in(nals)
        if len(sps) > MAX_SPS or len(pps) > MAX_PPS:
            return [dropped_video("too many parameter sets in band")]
        if all(_comparable(nal) in self._known_sets for nal in (*sps, *pps)):
            return []
        config = self._config
        try:
            merged_sps = merged_sets(config.sps if config else (), sps, _sps_id)
            merged_pps = merged_sets(config.pps if config else (), pps, _pps_id)
            if not merged_sps or not merged_pps:
                return []
            fresh = AvcConfig.from_parameter_sets(merged_sps, merged_pps, self._length_size or 4)
            if config and config.sps_ext and fresh.chroma_format is not None:
                fresh = replace(fresh, sps_ext=config.sps_ext)
            return self._configured(fresh, fresh.encode())
        except AvcError as error:
            return [dropped_video("unreadable parameter sets in band", error)]


def _has_parameter_sets(data: Data) -> bool:
    """Whether there is an SPS in a message that comes before any record."""
    try:
        nals, _ = clean_nals(data, 4)
    except AvcError:
        return False
    return any(nal[0] & 0x1F == NalType.SPS for nal in nals)


def _comparable(nal: bytes) -> bytes:
    """A parameter set without what may differ and mean the same: nal_ref_idc, trailing zeros."""
    return bytes((nal[0] & 0x1F,)) + nal[1:].rstrip(b"\x00")


def _sps_id(nal: bytes) -> int:
    return parse_sps(nal).sps_id


def _pps_id(nal: bytes) -> int:
    return BitReader(nal[1:8], AvcError).ue()

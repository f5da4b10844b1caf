"""The exception tree, and the exit codes that two processes must agree on.

TfarmError
├── ProtocolError          the peer broke the protocol: close that one connection, count it, go on
│   ├── HandshakeError     bytes that are no RTMP handshake
│   ├── ProxyHeaderError   no header of the PROXY protocol, or a broken one
│   ├── ChunkError         an illegal chunk sequence, or a length over its limit
│   ├── Amf0Error          an unreadable AMF0 value
│   ├── FlvError           an unreadable FLV tag body
│   ├── AvcError           an unreadable AVC record, NAL unit or parameter set
│   ├── HevcError          an unreadable HEVC record, NAL unit or parameter set
│   ├── Av1Error           an unreadable AV1 record or OBU
│   ├── OpusError          an unreadable Opus header or packet
│   ├── RtpError           an unreadable RTP or RTCP packet, or payload
│   ├── StunError          an unreadable STUN message, or one that its sender may not send
│   ├── LinkError          a frame or message that no host of a cluster may send
│   └── SdpError           an unreadable session description
│       └── OfferUnfit     one that can be read, and offers nothing that can be sent
├── AddressError           an app, key or rendition that cannot be served: refuse the request
├── UsageError             our code called a machine in the wrong state: a bug
├── EnvelopeError          a bus message we cannot read (version, kind, size): count it, drop it
├── CaptureError           a capture file that cannot be read: say so, do nothing with it
├── ConfigError            bad settings: exit code 2, with every fault's key path
├── NoCapacity             placement refused: a retry makes sense later
└── WorkerError
    ├── BootFailed         the device cannot be used: exit code 3, no immediate restart
    ├── DeviceLost         the device is gone: the process must die, exit code 4
    ├── DecodeFailed       one stream's trouble
    └── EncodeFailed       one rendition's
        └── EncoderLimitReached  the driver gives no more sessions: the supervisor must hear of it

Split by what the catcher does. Pure layers raise; shells catch, once a connection or stream.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class TfarmError(Exception):
    """Base of everything that tfarm raises on purpose."""


class ProtocolError(TfarmError):
    """The peer broke the protocol; its connection ends and nothing else does."""


class HandshakeError(ProtocolError):
    """The peer's bytes are no RTMP handshake."""


class ProxyHeaderError(ProtocolError):
    """What begins a connection is no header of the PROXY protocol, or a broken one."""


class ChunkError(ProtocolError):
    """An illegal chunk sequence, or a length over its limit."""


class Amf0Error(ProtocolError):
    """An AMF0 value that cannot be read."""


class FlvError(ProtocolError):
    """An FLV tag or tag body that cannot be read."""


class AvcError(ProtocolError):
    """An AVC decoder configuration, NAL unit list or parameter set that cannot be read."""


class HevcError(ProtocolError):
    """An HEVC decoder configuration, NAL unit or parameter set that cannot be read."""


class Av1Error(ProtocolError):
    """An AV1 codec configuration or OBU that cannot be read."""


class OpusError(ProtocolError):
    """An Opus identification header or packet that cannot be read."""


class RtpError(ProtocolError):
    """An RTP or RTCP packet, or a payload, that cannot be read."""


class StunError(ProtocolError):
    """A STUN message that cannot be read, or that its sender may not send."""


class TransportStreamError(ProtocolError):
    """A transport stream is none, or one that nothing here can read."""


class SpliceError(ProtocolError):
    """A section of SCTE-35 that is none, or is broken."""


class LinkError(ProtocolError):
    """A frame or message that no host of a cluster may send to another."""


class SdpError(ProtocolError):
    """A session description that cannot be read."""


class OfferUnfit(SdpError):
    """A session description that offers nothing that can be sent."""


class AddressError(TfarmError):
    """An app, stream key or rendition name that cannot be served."""


class UsageError(TfarmError):
    """Our own code called a state machine in the wrong state."""


class EnvelopeError(TfarmError):
    """A message between processes that cannot be read."""


class CaptureError(TfarmError):
    """A capture file that is none, is damaged, or holds more than it may."""


@dataclass(frozen=True, slots=True)
class ConfigFault:
    """One fault of a configuration: the path of its key, and what is wrong with it."""

    path: str  # "templates.live.renditions[0].width"
    problem: str

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}" if self.path else self.problem


class ConfigError(TfarmError):
    """A configuration with faults; `faults` holds every one of them."""

    def __init__(self, faults: Sequence[ConfigFault]) -> None:
        super().__init__("; ".join(str(fault) for fault in faults))
        self.faults = tuple(faults)

    def __reduce__(self) -> tuple[type["ConfigError"], tuple[Sequence[ConfigFault]]]:
        """Cross processes with the faults; an exception's own way has the text alone."""
        return ConfigError, (self.faults,)


class NoCapacity(TfarmError):
    """No device has room for the stream."""


class WorkerError(TfarmError):
    """Base of what goes wrong inside a worker."""


class BootFailed(WorkerError):
    """The worker's device cannot be used."""


class Unusable(BootFailed):
    """What a process needs is broken on this host: starting it again cannot help."""


class DeviceLost(WorkerError):
    """The worker's device went away under it."""


class DecodeFailed(WorkerError):
    """One access unit could not be decoded; the stream goes on at the next IDR."""


class EncodeFailed(WorkerError):
    """One rendition could not be encoded."""


class EncoderLimitReached(EncodeFailed):
    """The driver gives no more encoder sessions; `open_sessions` are open in this process."""

    def __init__(self, reason: str, open_sessions: int) -> None:
        super().__init__(reason)
        self.open_sessions = open_sessions


class ExitCode(IntEnum):
    """Exit codes of every tfarm process and of the CLI."""

    OK = 0
    FAILED = 1  # CLI: the farm is not running, or the request failed
    USAGE = 2  # bad command line or configuration
    BOOT_FAILED = 3  # child: its device or listener cannot be used; restart only with back-off
    DEVICE_LOST = 4  # child: its device went away; restart at once, then with back-off
    ORPHANED = 5  # child: no supervisor for 30 s
    UNUSABLE = 6  # child: what it needs is broken on this host; no restart

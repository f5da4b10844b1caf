"""Debian's libsrt, by ctypes (IO). Its own names, without `srt_`.

The library has threads of its own. Calls give the interpreter's lock away, as one of these threads
may be waiting for that in the listen callback while it holds a lock of the library's.
"""

import ctypes
import ipaddress
import socket
import struct
from collections.abc import Callable
from ctypes import byref, c_char_p, c_double, c_int, c_int64, c_size_t, c_uint64, c_void_p
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from common.srt.installed import INSTALL_WORDS, NAMES
from common.srt.reject_codes import INTERNAL, words_of

MAX_MESSAGE: Final = 1456  # of live mode
SEND_BYTES: Final = 1316  # a message of live mode: seven packets of a transport stream
READ_BYTES: Final = 64 * 1024  # of one socket in one turn
UDP_BYTES: Final = 8 * 1024 * 1024  # that wait in the kernel, of all; its limit may be lower
BACKLOG: Final = 128
_MAX_EVENTS: Final = 256
_CRITICAL: Final = 2  # what is less is not logged: the library writes to stderr
_AGAIN: Final = 6000  # codes of what may be tried again are from here to 6999
_FAILED: Final = -1
_SEQUENCE: Final = 0x7FFFFFFF

# SRT_SOCKOPT
_SNDSYN, _RCVSYN, _LINGER, _UDP_RCVBUF, _LATENCY, _PASSPHRASE = 1, 2, 7, 9, 23, 26
_CONNTIMEO, _RCVLATENCY, _PEERLATENCY, _STREAMID, _IPV6ONLY = 36, 43, 44, 46, 54
_EPOLL_IN, _EPOLL_ERR, _EPOLL_ENABLE_EMPTY = 0x1, 0x8, 1
_CONNECTING, _CONNECTED = 4, 5  # SRT_SOCKSTATUS


class SrtError(OSError):
    """A call of the library's that failed."""


class CallState(Enum):
    """How far a call to somebody else's listener is."""

    CALLING = "calling"
    CONNECTED = "connected"
    ENDED = "ended"  # or refused


@dataclass(frozen=True, slots=True)
class Call:
    """What a caller says in its handshake."""

    streamid: str = field(default="", repr=False)
    passphrase: str = field(default="", repr=False)
    latency_ms: int = 120
    timeout_ms: int = 3000  # of the handshake


class _Event(ctypes.Structure):
    _fields_ = (("socket", c_int), ("events", c_int))


class _MessageControl(ctypes.Structure):
    """SRT_MSGCTRL."""

    _fields_ = (
        ("flags", c_int),
        ("ttl_ms", c_int),
        ("in_order", c_int),
        ("boundary", c_int),
        ("source_time_us", c_int64),
        ("packet", c_int),  # its sequence number, of 31 bits
        ("message", c_int),
        ("group", c_void_p),
        ("group_size", c_size_t),
    )


class _Figures(ctypes.Structure):
    """CBytePerfMon, up to what is read here."""

    _fields_ = (
        ("ms_timestamp", c_int64),
        ("sent_total", c_int64),
        ("received_total", c_int64),
        ("send_loss_total", c_int),
        ("receive_loss_total", c_int),
        ("retransmitted_total", c_int),
        ("sent_ack_total", c_int),
        ("received_ack_total", c_int),
        ("sent_nak_total", c_int),
        ("received_nak_total", c_int),
        ("send_duration_us", c_int64),
        ("send_drop_total", c_int),
        ("receive_drop_total", c_int),
        ("undecrypted_total", c_int),
        ("totals", c_uint64 * 7),
        ("sent", c_int64),
        ("received", c_int64),
        ("local", c_int * 8),
        ("send_mbps", c_double),
        ("receive_mbps", c_double),
        ("send_duration", c_int64),
        ("reorder_distance", c_int),
        ("belated_ms", c_double),
        ("belated", c_int64),
        ("dropped", c_int * 3),
        ("bytes", c_uint64 * 7),
        ("send_period_us", c_double),
        ("windows", c_int * 3),
        ("rtt_ms", c_double),
        ("bandwidth_mbps", c_double),
    )


_FIGURES_BYTES: Final = 2048  # the library's structure grows with its version

_LISTEN_CALLBACK = ctypes.CFUNCTYPE(c_int, c_void_p, c_int, c_int, c_void_p, c_char_p)
# Called in a thread of the library's with the new socket, its handshake's version, its
# peer and its streamid; what it
# returns is the code to reject it with, 0: none.
OnCaller = Callable[[int, int, tuple[str, int], str], int]


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """What the library counts of one connection, since it stands."""

    received: int  # packets, those sent again included
    lost: int  # packets that were missed when a later one came
    dropped: int  # … and did not come in time
    undecrypted: int
    rtt_ms: float
    sent: int = 0  # packets, those sent again included
    repeated: int = 0  # of these, again
    given_up: int = 0  # that were not sent in time

    @property
    def packets(self) -> tuple[int, int, int, int]:
        """Received, lost, of these never come, and not decrypted."""
        return self.received, self.lost, self.dropped, self.undecrypted


class SrtLibrary:
    """The library, loaded and started."""

    def __init__(self) -> None:
        """Load it.

        Raises:
            SrtError: it is not installed.
        """
        self._lib = _load()
        self._lib.srt_getlasterror_str.restype = c_char_p
        self._lib.srt_rejectreason_str.restype = c_char_p
        self._lib.srt_listen_callback.argtypes = (c_int, _LISTEN_CALLBACK, c_void_p)
        self._lib.srt_epoll_uwait.argtypes = (c_int, c_void_p, c_int, c_int64)
        self._lib.srt_startup()
        self._lib.srt_setloglevel(_CRITICAL)
        self._epoll = self._lib.srt_epoll_create()
        self._lib.srt_epoll_set(self._epoll, _EPOLL_ENABLE_EMPTY)
        self._events = (_Event * _MAX_EVENTS)()
        self._buffer = ctypes.create_string_buffer(READ_BYTES + MAX_MESSAGE)
        self._control = _MessageControl()
        self._next: dict[int, int] = {}  # the packet that is to come, by socket
        self._callback: Any = None  # kept for as long as the library may call it

    # ---- sockets ------------------------------------------------------------------------------

    def listen(
        self, address: tuple[str, int], latency_ms: int, on_caller: OnCaller
    ) -> tuple[int, tuple[str, int]]:
        """A listening socket and its address.

        Raises:
            OSError: nobody can listen there, or somebody does.
        """
        lib = self._lib
        sock = self._made(lib.srt_create_socket())
        name = _sockaddr(*address)
        if len(name) > 16:
            self._set(sock, _IPV6ONLY, 0)
        for option, value in ((_RCVSYN, 0), (_SNDSYN, 0), (_RCVLATENCY, latency_ms)):
            self._set(sock, option, value)
        self._set(sock, _UDP_RCVBUF, UDP_BYTES)

        def call(_: Any, new: int, version: int, peer: int, streamid: bytes | None) -> int:
            try:
                text = (streamid or b"").decode("utf-8", "replace")
                code = on_caller(new, version, _address(ctypes.string_at(peer, 28)), text)
            except Exception:  # it has nobody above it
                code = INTERNAL
            if code:
                lib.srt_setrejectreason(new, code)
            return _FAILED if code else 0

        self._callback = _LISTEN_CALLBACK(call)
        try:
            self._check(lib.srt_bind(sock, name, len(name)))
            self._check(lib.srt_listen_callback(sock, self._callback, None))
            self._check(lib.srt_listen(sock, BACKLOG))
            self._watch(sock)
        except SrtError:
            self.close_socket(sock)
            raise
        own, size = ctypes.create_string_buffer(28), c_int(28)
        self._check(lib.srt_getsockname(sock, own, byref(size)))
        return sock, _address(own.raw)

    def call(self, address: tuple[str, int], call: Call) -> int:
        """A socket that calls a listener at a numeric address; it returns at once.

        `call_state` says how it goes on; it is its caller's to `close_socket`.

        Raises:
            OSError: the address is none, or the library does not take what is said.
        """
        lib = self._lib
        name = _sockaddr(*address)
        sock = self._made(lib.srt_create_socket())
        try:
            for option, value in (
                (_RCVSYN, 0),
                (_SNDSYN, 0),
                (_CONNTIMEO, call.timeout_ms),
                (_LATENCY, call.latency_ms),
            ):
                self._set(sock, option, value)
            for option, text in ((_STREAMID, call.streamid), (_PASSPHRASE, call.passphrase)):
                if data := text.encode():
                    self._check(lib.srt_setsockflag(sock, option, data, len(data)))
            self._check(lib.srt_connect(sock, name, len(name)))
        except SrtError:
            self.close_socket(sock)
            raise
        return sock

    def call_state(self, sock: int) -> CallState:
        state = self._lib.srt_getsockstate(sock)
        if state == _CONNECTED:
            return CallState.CONNECTED
        return CallState.CALLING if state == _CONNECTING else CallState.ENDED

    def why_refused(self, sock: int) -> str:
        """Why a call came to nothing, in words; "": the listener did not say."""
        code = self._lib.srt_getrejectreason(sock)
        if code <= 0:
            return ""
        words = self._lib.srt_rejectreason_str(code) or b""
        return words_of(code, words.decode("utf-8", "replace"))

    def set_passphrase(self, sock: int, passphrase: str) -> None:
        """What a caller has to encrypt with; in the listen callback."""
        data = passphrase.encode()
        self._check(self._lib.srt_setsockflag(sock, _PASSPHRASE, data, len(data)))

    def accept(self, listener: int) -> tuple[int, tuple[str, int]] | None:
        """The next caller whose handshake is done, and its address; None: there is none."""
        while True:
            name, size = ctypes.create_string_buffer(28), c_int(28)
            sock = self._lib.srt_accept(listener, name, byref(size))
            if sock < 0:
                return None
            try:
                self._set(sock, _RCVSYN, 0)
            except SrtError:  # it has gone since its handshake
                self.close_socket(sock)
            else:
                return sock, _address(name.raw)

    def watch(self, sock: int) -> None:
        """Have it among those that `ready` tells of."""
        self._watch(sock)

    def ready(self) -> list[int]:
        """The sockets with something to be read, or that have ended; at most 256."""
        count = self._lib.srt_epoll_uwait(self._epoll, self._events, _MAX_EVENTS, 0)
        return [self._events[at].socket for at in range(min(count, _MAX_EVENTS))]

    def receive(self, sock: int) -> list[bytes] | None:
        """What has come, at most `READ_BYTES`, a gap between each two pieces.

        Empty: nothing yet. None: it has ended.
        """
        receive, buffer, control = self._lib.srt_recvmsg2, self._buffer, self._control
        pieces: list[bytes] = []
        size = begin = 0
        expected = self._next.get(sock, -1)
        while size < READ_BYTES:
            count = receive(sock, byref(buffer, size), MAX_MESSAGE, byref(control))
            if count <= 0:
                if count == _FAILED and not size and not self._is_temporary():
                    return None
                break
            if control.packet != expected and expected >= 0:
                pieces.append(ctypes.string_at(byref(buffer, begin), size - begin))
                begin = size
            expected = (control.packet + 1) & _SEQUENCE
            size += count
        self._next[sock] = expected
        if size > begin:
            pieces.append(ctypes.string_at(byref(buffer, begin), size - begin))
        return pieces

    def send(self, sock: int, message: bytes) -> bool:
        """Send at most `MAX_MESSAGE` bytes; False: there is no room for them now.

        Raises:
            SrtError: the connection has ended.
        """
        if self._lib.srt_sendmsg2(sock, message, len(message), None) != _FAILED:
            return True
        if self._is_temporary():
            return False
        self._check(_FAILED)
        return False

    def unsent_bytes(self, sock: int) -> int:
        """What was sent and has not arrived, as far as the other end has said."""
        blocks, size = c_size_t(), c_size_t()
        self._lib.srt_getsndbuffer(sock, byref(blocks), byref(size))
        return size.value

    def is_connected(self, sock: int) -> bool:
        return bool(self._lib.srt_getsockstate(sock) == _CONNECTED)

    def figures(self, sock: int) -> LinkFigures | None:
        """What is counted of a connection; None: it is gone."""
        data = ctypes.create_string_buffer(_FIGURES_BYTES)
        if self._lib.srt_bistats(sock, data, 0, 1) == _FAILED:
            return None
        found = _Figures.from_buffer(data)
        return LinkFigures(
            found.received_total,
            found.receive_loss_total,
            found.receive_drop_total,
            found.undecrypted_total,
            found.rtt_ms,
            found.sent_total,
            found.retransmitted_total,
            found.send_drop_total,
        )

    def latency_ms(self, sock: int) -> int:
        """What both ends agreed on."""
        value, size = c_int(), c_int(4)
        self._lib.srt_getsockflag(sock, _RCVLATENCY, byref(value), byref(size))
        return value.value

    def close_socket(self, sock: int) -> None:
        self._next.pop(sock, None)
        self._lib.srt_close(sock)

    def close(self) -> None:
        """Release what is polled; the library itself ends with the process."""
        self._lib.srt_epoll_release(self._epoll)

    # ---- inside -------------------------------------------------------------------------------

    def _watch(self, sock: int) -> None:
        events = c_int(_EPOLL_IN | _EPOLL_ERR)
        self._check(self._lib.srt_epoll_add_usock(self._epoll, sock, byref(events)))

    def _set(self, sock: int, option: int, value: int) -> None:
        self._check(self._lib.srt_setsockflag(sock, option, byref(c_int(value)), 4))

    def _made(self, sock: int) -> int:
        self._check(_FAILED if sock < 0 else 0)
        return sock

    def _check(self, result: int) -> None:
        if result == _FAILED:
            words = self._lib.srt_getlasterror_str().decode("utf-8", "replace")
            raise SrtError(words.strip())

    def _is_temporary(self) -> bool:
        code = self._lib.srt_getlasterror(None)
        return bool(_AGAIN <= code < _AGAIN + 1000)


def _load() -> Any:
    for name in NAMES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise SrtError(f"SRT needs libsrt 1.5, which is not installed: {INSTALL_WORDS}")


def _sockaddr(host: str, port: int) -> bytes:
    """A socket address of a host's first address. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)
    family, _, _, _, name = found[0]
    if family == socket.AF_INET6:
        packed = ipaddress.IPv6Address(str(name[0]).partition("%")[0]).packed
        return struct.pack("=HHI", family, socket.htons(port), 0) + packed + bytes(4)
    packed = ipaddress.IPv4Address(str(name[0])).packed
    return struct.pack("=HH", family, socket.htons(port)) + packed + bytes(8)


def _address(data: bytes) -> tuple[str, int]:
    """Host and port of a socket address; of IPv4 in IPv6 that of IPv4."""
    family, port = struct.unpack_from("=HH", data)
    if family == socket.AF_INET6:
        host = ipaddress.IPv6Address(data[8:24])
        return str(host.ipv4_mapped or host), socket.ntohs(port)
    return str(ipaddress.IPv4Address(data[4:8])), socket.ntohs(port)

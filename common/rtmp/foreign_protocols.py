"""What else people point at an RTMP port, told by how it begins. Pure.

A name is given as soon as what has come fits nothing else; until then more is waited for, at most
`MAX_OPENING_BYTES`.
"""

from typing import Final

from common.errors import HandshakeError

_PROXY: Final = (
    "which is taken from ingest.trusted_proxies alone: put the load balancer's address there,"
    " or turn it off in the load balancer"
    " (HAProxy: send-proxy, nginx: proxy_protocol, AWS: proxy_protocol_v2.enabled)"
)
PROXY_V1: Final = f"a PROXY protocol header (version 1), {_PROXY}"
PROXY_V2: Final = f"a PROXY protocol header (version 2), {_PROXY}"
HTTP: Final = "HTTP: this port takes RTMP alone (rtmp://)"
RTMPT: Final = "RTMPT, RTMP inside HTTP: use rtmp://"
RTSP: Final = "RTSP: use rtmp://"
TLS: Final = (
    "TLS, as rtmps:// and https:// have it: use rtmp:// here; rtmps:// is for the port of"
    " listen.rtmps"
)

# How it begins, and what it is; the longest that fits counts.
_OPENINGS: Final = {
    b"PROXY ": PROXY_V1,  # PROXY protocol, section 2.1
    b"\r\n\r\n\x00\r\nQUIT\n": PROXY_V2,  # section 2.2
    b"\x16": TLS,  # a handshake record: RFC 8446 section 5.1
    b"\x06": "RTMPE: use rtmp://",
    b"\x08": "RTMPE: use rtmp://",  # of version 8, with other ciphers
    **{
        f"{method} ".encode(): HTTP
        for method in (
            "GET",
            "HEAD",
            "PUT",
            "POST",
            "DELETE",
            "CONNECT",
            "OPTIONS",
            "PATCH",
            "TRACE",
        )
    },
    b"PRI * HTTP/2": HTTP,
    b"POST /fcs/ident": RTMPT,
    b"POST /open/": RTMPT,
    **{
        f"{method} rtsp".encode(): RTSP
        for method in ("OPTIONS", "ANNOUNCE", "DESCRIBE", "SETUP", "RECORD", "PLAY")
    },
    b"SOURCE ": "an Icecast source: use rtmp://",
    b"SSH-": "SSH",
    b"FLV\x01": "FLV without RTMP: publish to rtmp:// in place of tcp://",
    b"\x47": "MPEG-TS without RTMP: publish to rtmp:// in place of tcp://",
    b"\x1a\x45\xdf\xa3": "Matroska without RTMP: publish to rtmp:// in place of tcp://",
}
MAX_OPENING_BYTES: Final = max(map(len, _OPENINGS))


def name_opening(start: bytes) -> str | None:
    """What a connection is that begins so; "": nothing known; None: it cannot be told yet."""
    fitting = {begin for begin in _OPENINGS if begin.startswith(start) or start.startswith(begin)}
    names = {_OPENINGS[begin] for begin in fitting}
    if len(names) == 1:
        return names.pop()
    if any(len(begin) > len(start) for begin in fitting):
        return None
    return _OPENINGS[max(fitting, key=len)] if fitting else ""


def refuse_opening(start: bytes, wanted: int) -> None:
    """Raise HandshakeError for what is no RTMP, once it can be named."""
    name = name_opening(start)
    if name is not None:
        what = f"RTMP version {start[0]}, wanted {wanted}"
        raise HandshakeError(f"{what}: this is {name}" if name else what)

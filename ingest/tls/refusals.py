"""Why a handshake came to nothing, in words of the log. Pure."""

from typing import Final

from common.rtmp.foreign_protocols import MAX_OPENING_BYTES, name_opening

OPENING_BYTES: Final = MAX_OPENING_BYTES
_HANDSHAKE: Final = 0x16  # the record's type: RFC 8446 section 5.1
_RTMP: Final = 0x03

# By OpenSSL's reasons (include/openssl/sslerr.h), as Python names them.
_OLD: Final = "the client offers TLS 1.1 or older; 1.2 and later are taken"
_UNTRUSTED: Final = "the client does not trust the certificate (tls.certificate)"
_LEFT: Final = "the client left in the handshake"
_NOT_TLS: Final = "what comes is no TLS"
_WORDS: Final = {
    "UNSUPPORTED_PROTOCOL": _OLD,
    "VERSION_TOO_LOW": _OLD,
    "WRONG_SSL_VERSION": _OLD,
    "TLSV1_ALERT_PROTOCOL_VERSION": "the client wants another version of TLS than 1.2 and 1.3",
    "INAPPROPRIATE_FALLBACK": "the client came back with a lower version of TLS than it can",
    "NO_SHARED_CIPHER": "no cipher that both sides take",
    "NO_SUITABLE_SIGNATURE_ALGORITHM": "the client takes no signature of the certificate's kind",
    "NO_SUITABLE_KEY_SHARE": "no key exchange that both sides take",
    "TLSV1_ALERT_UNKNOWN_CA": _UNTRUSTED,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _UNTRUSTED,
    "SSLV3_ALERT_BAD_CERTIFICATE": _UNTRUSTED,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the client says that the certificate has expired",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": _UNTRUSTED,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the client gave up the handshake",
    "TLSV1_ALERT_INTERNAL_ERROR": "the client gave up the handshake",
    "UNEXPECTED_EOF_WHILE_READING": _LEFT,
    "WRONG_VERSION_NUMBER": _NOT_TLS,
    "HTTP_REQUEST": _NOT_TLS,
    "HTTPS_PROXY_REQUEST": _NOT_TLS,
    "PACKET_LENGTH_TOO_LONG": _NOT_TLS,
    "UNEXPECTED_MESSAGE": _NOT_TLS,
}


def why_plain(start: bytes) -> str | None:
    """Why a connection that begins so is refused; "": it may be TLS; None: more has to come."""
    if start[0] == _HANDSHAKE:
        return ""
    if start[0] == _RTMP:
        return "RTMP without TLS: use rtmps:// here; rtmp:// is for the port of listen.rtmp"
    name = name_opening(start)
    if name is None:
        return None
    return f"no TLS: this is {name}" if name else "what comes is no TLS"


def why_failed(reason: str | None) -> str:
    """Put OpenSSL's reason for a failed handshake into words."""
    if not reason:
        return _LEFT
    return _WORDS.get(reason, f"TLS failed: {reason.lower().replace('_', ' ')}")

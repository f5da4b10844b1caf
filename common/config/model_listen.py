"""The configuration file's tables of where the farm listens, and of publishers by SRT. Pure."""

from typing import Annotated, Any, ClassVar

from common.config.access_values import Passphrase
from common.config.keys import Holds, Table, key
from common.config.settings import Settings, SrtSettings
from common.config.values import ListenAddress, Milliseconds

NOW, NEW_PROCESSES, RESTART = Holds.NOW, Holds.NEW_PROCESSES, Holds.RESTART


class ListenTable(Table):
    """`[listen]`."""

    rtmp: Annotated[Any, ListenAddress()] = key(
        Settings,
        "listen",
        "where publishers and players connect; with port 0 on any free port, which "
        "`tfarm status --json` tells",
        RESTART,
    )
    rtmps: Annotated[Any, ListenAddress()] = key(
        Settings,
        "listen_tls",
        "where they connect with TLS (`rtmps://`); needs `tls.certificate`",
        RESTART,
        default="nowhere",
        example="127.0.0.1:1936",
    )
    http: Annotated[Any, ListenAddress()] = key(
        Settings,
        "listen_http",
        "where viewers connect by HTTP; with port 0 on any free port",
        NEW_PROCESSES,
    )
    https: Annotated[Any, ListenAddress()] = key(
        Settings,
        "listen_https",
        "where viewers connect by HTTPS; needs `tls.certificate`",
        RESTART,
        default="nowhere",
        example="0.0.0.0:8443",
    )
    srt: Annotated[Any, ListenAddress()] = key(
        Settings,
        "listen_srt",
        "the UDP port where publishers connect by SRT; needs libsrt 1.5",
        RESTART,
        default="nowhere",
        example="0.0.0.0:9000",
    )
    whip: Annotated[Any, ListenAddress()] = key(
        Settings,
        "listen_whip",
        "the UDP port of publishers' media by WebRTC, who ask by HTTP (WHIP); needs "
        "`tfarm[webrtc]` and `web.enabled`",
        RESTART,
        default="nowhere",
        example="0.0.0.0:8190",
    )


class SrtTable(Table):
    """`[srt]`."""

    title: ClassVar[str] = "publishers by SRT, where `listen.srt` says"

    latency: Annotated[int, Milliseconds(20, 10_000)] = key(
        SrtSettings,
        "latency_ms",
        "how long packets that were lost may still come; a caller that asks for more gets that. "
        "Three to four times the round trip is good",
        NEW_PROCESSES,
    )
    passphrase: Annotated[str, Passphrase()] = key(
        SrtSettings,
        "passphrase",
        "publishers encrypt with this, but those of streams that have one of their own",
        NOW,
        default="they may not encrypt",
        example="a long passphrase",
    )
    passphrases: dict[str, Annotated[str, Passphrase()]] = key(
        SrtSettings,
        "passphrases",
        "a table: APP or `APP/KEY` = what publishers of these streams encrypt with",
        NOW,
        default="none",
        example={"live/cam1": "another passphrase"},
    )

    def settings(self) -> dict[str, Any]:
        given = super().settings()
        if "passphrases" in given:
            given["passphrases"] = tuple(given["passphrases"].items())
        return given

"""The configuration file's tables of what is asked for by HTTP: API, viewers, WebRTC. Pure."""

from typing import Annotated, Any, ClassVar

from common.config.access_values import IpAddress
from common.config.key_values import KeyTexts, digest
from common.config.keys import Holds, Table, key
from common.config.push_values import SCHEMES as PUSH_SCHEMES
from common.config.remote_url import PULL_SCHEMES, UrlPattern
from common.config.settings import ApiSettings, WebrtcSettings, WebSettings
from common.config.values import (
    Boolean,
    ByteCount,
    Integer,
    ListenAddress,
    Network,
    Seconds,
    Text,
)

NOW, MORE_NOW, NEW_PROCESSES = Holds.NOW, Holds.MORE_NOW, Holds.NEW_PROCESSES
NEW_STREAMS, RESTART = Holds.NEW_STREAMS, Holds.RESTART


class ApiTable(Table):
    """`[api]`."""

    title: ClassVar[str] = "the HTTP API, its metrics and its page"

    enabled: Annotated[bool, Boolean()] = key(
        ApiSettings, "is_enabled", "whether there is an API", MORE_NOW
    )
    listen: Annotated[Any, ListenAddress()] = key(
        ApiSettings,
        "listen",
        "where the API listens; an address outside loopback needs `tokens`",
        NEW_PROCESSES,
    )
    tokens: Annotated[Any, KeyTexts()] = key(
        ApiSettings,
        "tokens",
        "clients that change anything, or that read from an address outside loopback, must give "
        "one of them (`Authorization: Bearer TOKEN`)",
        NOW,
        default="none",
        example=["sha256:" + digest("a long token")],
    )
    max_connections: Annotated[int, Integer(1, 10_000)] = key(
        ApiSettings, "max_connections", "connections to it at once", NOW
    )
    stream_metrics: Annotated[bool, Boolean()] = key(
        ApiSettings,
        "has_stream_metrics",
        "whether `/metrics` has series of single streams, beside those of apps",
        NOW,
    )
    max_viewers: Annotated[int, Integer(0, 10_000)] = key(
        ApiSettings,
        "max_viewers",
        "who may watch streams by HTTP at once, as the page does, of each egress",
        NOW,
    )
    pull_urls: tuple[Annotated[str, UrlPattern(PULL_SCHEMES)], ...] = key(
        ApiSettings,
        "pull_urls",
        "what the API may have [fetched](pull.md#by-the-api), as `rtsp://*.cameras.example.org`: "
        "scheme and host, with a port perhaps; `*` stands for any part of a host's name",
        NOW,
    )

    push_urls: tuple[Annotated[str, UrlPattern(tuple(PUSH_SCHEMES))], ...] = key(
        ApiSettings,
        "push_urls",
        "where the API may have streams [pushed](push.md#by-the-api), likewise",
        NOW,
    )

    def settings(self) -> dict[str, Any]:
        given = super().settings()
        if "tokens" in given:
            given["tokens"] = tuple(map(digest, given["tokens"]))
        return given


class WebTable(Table):
    """`[web]`."""

    title: ClassVar[str] = "viewers by HTTP; `listen.http` says where they connect"

    enabled: Annotated[bool, Boolean()] = key(
        WebSettings, "is_enabled", "whether streams can be watched by HTTP", MORE_NOW
    )
    processes: Annotated[int, Integer(1, 64)] = key(
        WebSettings,
        "processes",
        "processes that share the address and the viewers: one for each 500 of low-latency HLS",
        RESTART,
    )
    max_connections: Annotated[int, Integer(1, 100_000)] = key(
        WebSettings,
        "max_connections",
        "connections at once, of each process; those of HTTP-FLV count only until they are sent "
        "the stream",
        NOW,
    )
    max_viewers: Annotated[int, Integer(0, 1_000_000)] = key(
        WebSettings,
        "max_viewers",
        "viewers at once whom a process sends a stream itself, of each process",
        NOW,
    )
    cors_origins: tuple[Annotated[str, Text()], ...] = key(
        WebSettings,
        "cors_origins",
        'pages of these sites may play streams from here, as `https://example.org`; `"*"`: of all',
        NOW,
    )
    trusted_proxies: tuple[Annotated[str, Network()], ...] = key(
        WebSettings,
        "trusted_proxies",
        "networks of proxies before this server, such as nginx: a request of theirs comes from "
        "whom their `X-Forwarded-For` names",
        NOW,
    )
    part: Annotated[float, Seconds(0.1, 2)] = key(
        WebSettings,
        "part_s",
        "the parts of low-latency HLS last about so long: as many whole pictures as come nearest",
        NEW_STREAMS,
    )
    window: Annotated[float, Seconds(6, 86_400)] = key(
        WebSettings,
        "window_s",
        "how far back viewers of HLS may go; a longer one takes memory, of each stream that is "
        "watched",
        NEW_STREAMS,
    )
    window_size: Annotated[int, ByteCount(1024**2, 1024**4)] = key(
        WebSettings,
        "window_bytes",
        "what each rendition's window of HLS takes at most, whatever `window` says",
        NEW_STREAMS,
    )
    obs_config: Annotated[bool, Boolean()] = key(
        WebSettings,
        "has_obs_config",
        "serve [OBS's configuration](obs.md#multitrack-video) for multitrack video, at "
        "`/APP/obs/config`: a streamer's OBS is told which renditions to encode",
        NOW,
    )


class WebrtcTable(Table):
    """`[webrtc]`."""

    title: ClassVar[str] = "viewers by WebRTC (WHEP), where `tfarm[webrtc]` is installed"

    enabled: Annotated[bool, Boolean()] = key(
        WebrtcSettings,
        "is_enabled",
        "whether streams can be watched by WebRTC; it needs `web.enabled`, too",
        MORE_NOW,
    )
    listen: Annotated[Any, ListenAddress()] = key(
        WebrtcSettings,
        "listen",
        "the UDP port of all viewers' media; `0.0.0.0` or `[::]` for those of other hosts",
        NEW_PROCESSES,
    )
    addresses: tuple[Annotated[str, IpAddress()], ...] = key(
        WebrtcSettings,
        "addresses",
        "the addresses at which viewers and publishers reach their UDP ports, where the host does "
        "not know them itself, as behind NAT",
        NOW,
    )
    max_viewers: Annotated[int, Integer(0, 100_000)] = key(
        WebrtcSettings, "max_viewers", "viewers at once", NOW
    )

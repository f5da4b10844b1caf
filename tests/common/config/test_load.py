# long: one table of every key and of every fault
"""TOML → Settings: the values, and every fault with its path."""

import contextlib
import hashlib
import tomllib
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.config import load as config
from common.config.access import Signing, Way
from common.config.hooks import HookEvent, Hooks, OnError
from common.config.ladder import (
    AwayPicture,
    MadeWhen,
    Pipeline,
    RateControl,
    Rendition,
    RenditionFit,
    Takeover,
)
from common.config.limits import StreamLimits
from common.config.pushes import PushRule
from common.config.recording import Recording, Upload
from common.config.settings import (
    DEFAULT_RENDITIONS,
    ClusterSettings,
    Listen,
    Settings,
    TlsSettings,
    WebrtcSettings,
    WebSettings,
)
from common.config.stream_keys import StreamKeys
from common.errors import ConfigError
from common.media.units import VideoCodec
from tests.kit.full_config import FULL


def faults_of(text: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        config.parse(tomllib.loads(text))
    return {fault.path: fault.problem for fault in caught.value.faults}


def test_an_empty_file_is_the_built_in_farm() -> None:
    assert config.parse({}) == Settings()


def test_a_template_that_says_nothing_is_the_built_in_one() -> None:
    assert config.parse({"templates": {"live": {}}}) == Settings()


def test_every_key_reaches_its_setting() -> None:
    found = config.parse(tomllib.loads(FULL))
    assert found.listen == Listen("::", 1936)
    assert found.listen_tls == Listen("0.0.0.0", 1937)
    assert found.tls == TlsSettings(
        "/tls/chain.pem", "/tls/key.pem", 14, (("*.example.org", "/tls/other.pem"),)
    )
    assert (found.log_level, found.orphan_timeout_s) == ("DEBUG", 45.0)
    assert not found.has_sandbox
    assert not found.has_standbys
    assert not found.codes_sound
    assert (found.software.workers, found.software.capacity) == (3, 250.5)
    assert (found.software.encoder_threads, found.software.encoder_processes) == (2, True)
    assert not found.devices.use_gpus
    assert found.devices.exclude == ("GPU-1", "0000:65:00.0")
    assert found.devices.capacity == (("GPU-2", 900.0),)
    assert found.devices.max_encoder_sessions == 8
    assert (found.devices.hybrid_capacity, found.devices.encoder_processes) == (300.0, 4)
    ingest = found.ingest
    assert ingest.processes == 2
    assert (ingest.handshake_timeout_s, ingest.first_video_timeout_s) == (4.0, 5.0)
    assert (ingest.idle_timeout_s, ingest.takeover_idle_s) == (60.0, 1.5)
    assert (ingest.max_connections, ingest.max_connections_per_address) == (10, 11)
    assert (ingest.max_handshakes_per_address, ingest.max_publishes_per_address) == (2.5, 12)
    assert ingest.max_message_bytes == 2 * 1024**2
    assert ingest.exempt_networks == ("192.0.2.0/24",)
    assert ingest.trusted_proxies == ("198.51.100.0/24", "2001:db8::/64")
    egress = found.egress
    assert egress.max_players_per_address == 12
    assert egress.processes == 3
    assert (egress.max_players, egress.queue_ms, egress.stall_timeout_s) == (13, 2000, 7.0)
    assert egress.send_buffer_bytes == 65536
    worker = found.worker
    assert (worker.queue_ms, worker.max_memory_bytes, worker.hang_timeout_s) == (900, 2**31, 3.0)
    assert not worker.is_adapting
    capture = found.capture
    assert (capture.memory_bytes, capture.seconds) == (64 * 1024**2, 30.0)
    assert (capture.directory, capture.pictures) == ("/var/captures", False)
    assert (capture.kept_files, capture.kept_bytes) == (5, 100 * 1024**2)
    api = found.api
    assert (api.is_enabled, api.listen, api.max_connections) == (
        False,
        Listen("192.0.2.1", 9181),
        20,
    )
    assert not api.has_stream_metrics
    assert api.max_viewers == 21
    assert found.listen_http == Listen("0.0.0.0", 8081)
    assert found.listen_https == Listen("0.0.0.0", 8444)
    origins, proxies = ("https://example.org",), ("203.0.113.0/24",)
    sizes = 0.25, 60.0, 8 * 1024**2
    assert found.web == WebSettings(False, 22, 23, origins, proxies, *sizes, 2, True)
    assert found.webrtc == WebrtcSettings(
        False, Listen("0.0.0.0", 8190), ("203.0.113.7", "2001:db8::7"), 24
    )
    assert api.tokens == (sha256("a token of some length"),)


def test_every_key_of_a_cluster_reaches_its_setting() -> None:
    found = config.parse(tomllib.loads(FULL))
    etc = "/etc/tfarm/cluster"
    assert found.cluster == ClusterSettings(
        "studio",
        "media1",
        f"{etc}/secret",
        ("https://etcd1:2379", "https://[2001:db8::2]:2379"),
        f"{etc}/etcd-ca.pem",
        f"{etc}/etcd-client.pem",
        f"{etc}/etcd-client-key.pem",
        "tfarm",
        f"{etc}/etcd-password",
        7.0,
        Listen("10.0.0.7", 1937),
        "media1.example.org:1937",
        f"{etc}/host.pem",
        f"{etc}/host-key.pem",
        f"{etc}/ca.pem",
        20.0,
    )


FULL_RENDITIONS = (
    Rendition(
        "720p",
        1280,
        720,
        2_500_000,
        Fraction(30000, 1001),
        "high",
        "p1",
        500,
        28.0,
        RateControl.VBR,
        4_000_000,
        RenditionFit.SHORT_SIDE,
        when=MadeWhen.ALWAYS,
        quality_floor=0.9,
    ),
    Rendition(*("small", 320, 180, 200_000, None), rate_control=RateControl.QUALITY, quality=30),
    Rendition("hevc", 320, 180, 200_000, codec=VideoCodec.H265),
)


FULL_UPLOAD = Upload(
    *("recordings", "https://s3.example.org:9000", "eu-central-1", "farm1/"),
    *("/etc/tfarm/s3-credentials", "/etc/tfarm/s3-ca.pem"),
    is_path_style=False,
    rate_bps=200_000_000,
    deletes=True,
)


def test_every_key_of_a_template_reaches_its_setting() -> None:
    live, relay = config.parse(tomllib.loads(FULL)).templates
    assert (live.gop_ms, live.hold_ms, live.wait_ms) == (1000, 0, 2500)
    assert live.max_source == (1280, 720, 30)
    assert live.publish_keys == (hashlib.sha256(b"abc").hexdigest(), "0" * 64)
    assert live.play_keys == (hashlib.sha256(b"def").hexdigest(), "1" * 64)
    assert (live.takeover, live.away_picture) == (Takeover.ALWAYS, AwayPicture.NONE)
    assert live.policy == (Pipeline.SOFTWARE, Pipeline.PASSTHROUGH)
    assert (live.cost, live.flush_ms, live.audio_hold_ms) == (12.0, 20, 30)
    assert (live.audio_levels, live.idle_timeout_s) == (True, 600.0)
    assert (live.renditions_when, live.linger_ms) == (MadeWhen.DEMANDED, 30_000)
    assert (live.expected_use, relay.expected_use) == (0.2, 1.0)
    assert (live.multitrack_video, relay.multitrack_video) == (False, True)
    assert live.names_on_demand == {"small", "hevc"}
    assert (relay.renditions_when, relay.names_on_demand) == (MadeWhen.ALWAYS, frozenset())
    assert (relay.audio_levels, relay.idle_timeout_s) == (False, None)
    assert (live.audio_only, relay.audio_only) == ("audio", "")
    assert (live.takes_backup, live.backup_after_s, live.backup_return_s) == (True, 3.0, 8.0)
    assert (live.backup_after_black_s, live.backup_after_silent_s) == (20.0, 60.0)
    assert (relay.takes_backup, relay.backup_after_black_s) == (False, None)
    assert live.sei_uuids == (
        "086f3693-b7b3-4f2c-9653-21492feee5b8",
        "dc45e9bd-e6d9-48b7-962c-d820d923eeef",
    )
    assert relay.sei_uuids == ()
    assert (live.utc, relay.utc) == (True, False)
    assert live.rendition_names()[-2:] == ("audio", "source")
    fits = (live.fit, live.renditions[0].fit, live.renditions[1].fit)
    assert fits == (RenditionFit.BOX, RenditionFit.SHORT_SIDE, None)
    assert live.renditions == FULL_RENDITIONS
    assert (live.quality_every_ms, relay.quality_every_ms) == (15_000, 10_000)
    assert live.limits == StreamLimits((3840, 2160), 60, 50_000_000, 5, 43_200.0, 3, 200)
    assert relay.limits == StreamLimits()
    url = "srt://media.example:9000?streamid=publish:live/{key}&passphrase=0123456789"
    assert live.pushes == (PushRule(url, "720p", ("cam1",)),)
    where, made = "/var/lib/tfarm/recordings", ("720p", "source")
    assert live.recording == Recording(
        where, made, 900.0, 1 << 30, 100 << 30, ("cam1",), FULL_UPLOAD
    )
    assert live.recording.is_uploaded
    assert not relay.recording.is_uploaded
    assert not relay.recording.takes("cam1")
    assert (relay.name, relay.renditions) == ("relay", ())
    assert live.signing == Signing((("k1", "0123456789abcdef"),), 5.0)
    assert live.publish_rules == ((Way.KEY, Way.SIGNED), (Way.KEY,))
    assert live.play_rules == ((Way.SIGNED,), (Way.KEY,))
    assert (relay.signing, relay.publish_rules, relay.play_rules) == (Signing(), (), ())
    assert live.hooks == Hooks(
        "https://hooks.example/a",
        "fedcba9876543210",
        (HookEvent.ON_PLAY, HookEvent.ON_STOP),
        1.5,
        OnError.ALLOW,
        60.0,
        120.0,
        4,
        "/etc/ca.pem",
    )
    assert relay.hooks == Hooks()


def test_a_template_without_renditions_keeps_the_built_in_ladder() -> None:
    (template,) = config.parse({"templates": {"tv": {"hold": "1s"}}}).templates
    assert template.renditions == DEFAULT_RENDITIONS


OF_AV1 = (
    '\n[[templates.live.renditions]]\nname="b"\nwidth=320\nheight=180\nbitrate="1M"\ncodec="av1"\n'
)
PUSH = '[[templates.live.push]]\nurl="srt://h:9000"\nrendition="source"\n'
RECORD = '[templates.live.record]\ndirectory = "/r"\n'
UPLOAD = RECORD + "[templates.live.record.upload]\n"
BUCKET = 'bucket = "abc"\n'
AT_UPLOAD = "templates.live.record.upload"
RENDITION = '[[templates.live.renditions]]\nname="a"\nwidth=640\nheight=360\nbitrate="1M"\n'
CLUSTER = '[cluster]\nname = "a"\nsecret_file = "/s"\netcd = ["http://e:1"'
ENDPOINTS = ", ".join(f'"http://e:{port}"' for port in range(2, 11))
FAULTS = [
    ("[worker]\nadapt = 1", "worker.adapt", "true or false"),
    ('standbys = "no"', "standbys", "true or false"),
    ("sound = 1", "sound", "true or false"),
    ("[listen]\nrtmp = 1935", "listen.rtmp", "HOST:PORT"),
    ('[listen]\nrtmp = "::1:1935"', "listen.rtmp", "brackets"),
    ('[listen]\nrtmp = "127.0.0.1:70000"', "listen.rtmp", "HOST:PORT"),
    ('[listen]\nrtmpp = "127.0.0.1:1935"', "listen.rtmpp", 'did you mean "rtmp"?'),
    ("listen = 3", "listen", "a table"),
    ('[listen]\nrtmps = "1936"', "listen.rtmps", "HOST:PORT"),
    ('[listen]\nrtmps = "127.0.0.1:1936"', "tls.certificate", "listen.rtmps takes TLS"),
    (
        '[listen]\nrtmps = "127.0.0.1:1935"\n[tls]\ncertificate = "/c"',
        "listen.rtmps",
        "is the address of listen.rtmp",
    ),
    ("[tls]\ncertificate = 3", "tls.certificate", "a text"),
    ("[tls]\nkey = true", "tls.key", "a text"),
    ('[tls.names]\n"a b" = "/x"', "tls.names.a b", "lower case"),
    ('[tls.names]\n"a.b" = 3', "tls.names.a.b", "a text"),
    ("[tls]\nmax_connections = 0", "tls.max_connections", "between 1"),
    ('[ingest]\ntrusted_proxies = ["lb"]', "ingest.trusted_proxies[0]", "a network"),
    ('[egress]\nqueue = "3"', "egress.queue", "unit"),
    ("[egress]\nqueue = 3", "egress.queue", "unit"),
    ('[egress]\nqueue = "1ms"', "egress.queue", "between 100ms and 1m"),
    ('[worker]\nmax_memory = "lots"', "worker.max_memory", "a size"),
    ('[worker]\nqueue = "200ms"', "worker.queue", "250"),
    ("[software]\nworkers = true", "software.workers", "whole number"),
    ("[software]\nworkers = 65", "software.workers", "between 0 and 64"),
    ("[software]\ncapacity = nan", "software.capacity", "between"),
    ("[templates.live]\naudio_levels = 1", "templates.live.audio_levels", "true or false"),
    ('[templates.live]\nsei_uuids = ["086f3693"]', "templates.live.sei_uuids[0]", "a UUID"),
    (
        f"[templates.live]\nsei_uuids = {['086f3693-b7b3-4f2c-9653-21492feee5b8'] * 17}",
        "templates.live.sei_uuids",
        "at most 16",
    ),
    ('[templates.live]\naudio_only = "a b"', "templates.live.audio_only", "letters"),
    ('[templates.live]\naudio_only = "source"', "templates.live.audio_only", "as published"),
    ('[templates.live]\naudio_only = "sound"', "templates.live.audio_only", "find the sound"),
    ('[templates.live]\naudio_only = "720p"', "templates.live.audio_only", "there already"),
    (
        '[templates.live]\nrenditions_when = "wached"',
        "templates.live.renditions_when",
        'one of "always", "watched"',
    ),
    ('[templates.live]\nbackup_after_black = "5s"', "templates.live.backup_after_black", "10s"),
    *(
        (f"[templates.live]\n{key}", f"templates.live.{key.split()[0]}", "backup = true")
        for key in (
            'backup_after = "3s"',
            'backup_after_black = "20s"',
            'backup_after_silence = "20s"',
            'backup_return = "9s"',
        )
    ),
    (
        '[templates.live]\nbackup = true\nbackup_after_silence = "20s"',
        "templates.live.backup_after_silence",
        "audio_levels = true",
    ),
    ('[templates.live]\nbackup_after = "10ms"', "templates.live.backup_after", "between"),
    ("[templates.live]\nlinger = 10", "templates.live.linger", "unit"),
    ("[web]\nobs_config = 2", "web.obs_config", "true or false"),
    ("[templates.live]\nutc = 1", "templates.live.utc", "true or false"),
    ("[templates.live]\nmultitrack_video = 2", "templates.live.multitrack_video", "true or false"),
    ("[templates.live]\nexpected_use = 0", "templates.live.expected_use", "between 0.01 and 1"),
    (
        RENDITION + 'when = "never"',
        "templates.live.renditions[0].when",
        'one of "always", "watched"',
    ),
    ("[devices]\nuse_gpus = 1", "devices.use_gpus", "true or false"),
    ('[devices]\nexclude = ["a", 3]', "devices.exclude[1]", "a text"),
    ('[devices.capacity]\n"GPU-1" = "x"', "devices.capacity.GPU-1", "a number"),
    ('[ingest]\nexempt_networks = ["192.0.2.1/24"]', "ingest.exempt_networks[0]", "a network"),
    ('[capture]\nmemory = "-1MiB"', "capture.memory", "a size"),
    ('[capture]\nseconds = "61s"', "capture.seconds", "between 1s and 1m"),
    ("[capture]\ndirectory = 3", "capture.directory", "a text"),
    ('[capture]\nmax_bytes = "1KiB"', "capture.max_bytes", "between 1MiB"),
    ("[capture]\nmax_files = 0", "capture.max_files", "between 1"),
    ("[capture]\npictures = 1", "capture.pictures", "true or false"),
    ("[api]\nenabled = 1", "api.enabled", "true or false"),
    ('[api]\nlisten = "9180"', "api.listen", "HOST:PORT"),
    ('[api]\nlisten = "0.0.0.0:9180"', "api.listen", "needs api.tokens"),
    ("[api]\nstream_metrics = 2", "api.stream_metrics", "true or false"),
    ("[api]\ntokens = []", "api.tokens", "at least one key"),
    ("[api]\nmax_viewers = -1", "api.max_viewers", "between 0"),
    ("[api]\nmax_connections = 0", "api.max_connections", "between 1"),
    ('[listen]\nhttp = "8080"', "listen.http", "HOST:PORT"),
    ('[listen]\nhttps = "127.0.0.1:8443"', "tls.certificate", "listen.https takes TLS"),
    ('[listen]\nhttp = "127.0.0.1:9180"', "listen.http", "is the address of api.listen"),
    ('[listen]\nhttp = "127.0.0.1:1935"', "listen.http", "is the address of listen.rtmp"),
    ("[web]\nenabled = 1", "web.enabled", "true or false"),
    ("[web]\nmax_connections = 0", "web.max_connections", "between 1"),
    ("[web]\nmax_viewers = -1", "web.max_viewers", "between 0"),
    ('[web]\ncors_origins = ["example.org"]', "web.cors_origins[0]", "must be a site"),
    ('[web]\ntrusted_proxies = ["lb"]', "web.trusted_proxies[0]", "a network"),
    ('[web]\npart = "10ms"', "web.part", "between 100ms"),
    ('[web]\nwindow = "1s"', "web.window", "between 6s"),
    ('[web]\nwindow_size = "1B"', "web.window_size", "between 1MiB"),
    ("[webrtc]\nenabled = 1", "webrtc.enabled", "true or false"),
    ('[webrtc]\nlisten = "8189"', "webrtc.listen", "HOST:PORT"),
    ('[webrtc]\naddresses = ["example.org"]', "webrtc.addresses[0]", "must be an address"),
    ("[webrtc]\nmax_viewers = -1", "webrtc.max_viewers", "between 0"),
    ("[templates.player]", "templates.player", "where viewers' pages are"),
    ('[cluster]\nname = "a b"', "cluster.name", "1 to 64 letters"),
    (
        '[cluster]\nname = "a"\netcd = ["http://e:1"]',
        "cluster.secret_file",
        "must be there: cluster.name is",
    ),
    ('[cluster]\nname = "a"\nsecret_file = "/s"', "cluster.etcd", "must be there"),
    ('[cluster]\nsecret_file = "/s"', "cluster.name", "must be there: cluster.secret_file is"),
    ('[cluster]\nsecret_file = ""', "cluster.secret_file", "not empty"),
    ('[cluster]\nhost = "-a"', "cluster.host", "a host's name"),
    ('[cluster]\netcd = ["etcd1:2379"]', "cluster.etcd[0]", "a member's client URL"),
    ('[cluster]\netcd = ["http://u:p@e:1"]', "cluster.etcd[0]", "without user and path"),
    ('[cluster]\netcd = ["http://e:0"]', "cluster.etcd[0]", "1 to 65535"),
    ('[cluster]\netcd = ["http://e:70000"]', "cluster.etcd[0]", "1 to 65535"),
    (f'{CLUSTER}, "http://e:1"]', "cluster.etcd", "has a URL twice"),
    (f"{CLUSTER}, {ENDPOINTS}]", "cluster.etcd", "at most 9"),
    (f'{CLUSTER}]\netcd_cert = "/c"', "cluster.etcd_key", "must be there: cluster.etcd_cert is"),
    (f'{CLUSTER}]\netcd_key = "/c"', "cluster.etcd_cert", "must be there: cluster.etcd_key is"),
    (f'{CLUSTER}]\netcd_user = "u"', "cluster.etcd_password_file", "must be there"),
    (f'{CLUSTER}]\nkey = "/k"\nca = "/a"', "cluster.cert", "must be there: cluster.key is"),
    (f'{CLUSTER}]\ncert = "/k"\nkey = "/a"', "cluster.ca", "must be there: cluster.cert is"),
    ('[cluster]\nttl = "4s"', "cluster.ttl", "between 5s and 1m"),
    ('[cluster]\nrelay = "1936"', "cluster.relay", "HOST:PORT"),
    ('[cluster]\nrelay_address = ":1936"', "cluster.relay_address", "HOST:PORT"),
    ('[cluster]\nrelay_address = "a:0"', "cluster.relay_address", "1 to 65535"),
    (
        RENDITION.replace('"a"', '"sound"'),
        "templates.live.renditions[0].name",
        "where viewers of HLS find the sound",
    ),
    ('log_level = "LOUD"', "log_level", '"INFO"'),
    ('[templates.live]\nidle_timeout = "2d"', "templates.live.idle_timeout", "unit"),
    ('[templates.live]\nidle_timeout = "25h"', "templates.live.idle_timeout", "between 100ms and"),
    ('[templates."a b"]\n', "templates.a b", "an app must be"),
    ('[templates.live]\npolicy = ["gpu"]', "templates.live.policy[0]", '"gpu-only"'),
    ("[templates.live]\npolicy = []", "templates.live.policy", "at least one"),
    (
        '[templates.live]\npolicy = ["passthrough", "software"]',
        "templates.live.policy[1]",
        '"passthrough" stands before it',
    ),
    (
        '[templates.live]\npolicy = ["gpu-only", "refuse", "software"]',
        "templates.live.policy[2]",
        '"refuse" stands before it',
    ),
    (
        "[software]\nworkers = 0\n[devices]\nuse_gpus = false",
        "templates.live.policy",
        "devices.use_gpus = false, software.workers = 0",
    ),
    ('[templates.live]\nflush = "2s"', "templates.live.flush", 'between 0s and 1s, or "frame"'),
    ('[templates.live]\nflush = "frames"', "templates.live.flush", 'or "frame"'),
    ('[templates.live]\ntakeover = "always"', "templates.live.takeover", "publish_keys"),
    ("[templates.live]\npublish_rules = [1]", "templates.live.publish_rules[0]", "must be"),
    ('[templates.live]\nplay_rules = ["any"]', "templates.live.play_rules[0]", "must be"),
    (
        '[templates.live.signing]\nclock_skew = "2h"',
        "templates.live.signing.clock_skew",
        "between 0s and 1h",
    ),
    ('[templates.live.signing.keys]\nk1 = "a"', "templates.live.signing.keys.k1", "16 to 256"),
    ('[templates.live.hooks]\nurl = "ftp://a"', "templates.live.hooks.url", "http://HOST"),
    ('[templates.live.hooks]\nurl = "http://a:b@c/"', "templates.live.hooks.url", "http://HOST"),
    ('[templates.live.hooks]\nsecret = "a"', "templates.live.hooks.secret", "16 to 256"),
    ('[templates.live.hooks]\nevents = ["play"]', "templates.live.hooks.events[0]", '"on_play"'),
    ('[templates.live.hooks]\ndeadline = "1h"', "templates.live.hooks.deadline", "between 100ms"),
    ('[templates.live.hooks]\non_error = "ask"', "templates.live.hooks.on_error", '"deny"'),
    ('[templates.live.hooks]\ncache = "2d"', "templates.live.hooks.cache", "unit"),
    ("[templates.live.hooks]\nretry = 5", "templates.live.hooks.retry", "unit"),
    ("[templates.live.hooks]\nparallel = 0", "templates.live.hooks.parallel", "between 1 and"),
    ("[templates.live.hooks]\nca_file = 3", "templates.live.hooks.ca_file", "a text"),
    ('[templates.live]\nmax_source = "1080p"', "templates.live.max_source", '"1920x1080@60"'),
    ('[templates.live.limits]\nmax_size = "4K"', "templates.live.limits.max_size", '"3840x2160"'),
    (
        '[templates.live.limits]\nmax_size = "8x8"',
        "templates.live.limits.max_size",
        "between 16x16 and 16384x16384",
    ),
    ("[templates.live.limits]\nmax_fps = 0", "templates.live.limits.max_fps", "between 1 and"),
    (
        '[templates.live.limits]\nmax_bitrate = "fast"',
        "templates.live.limits.max_bitrate",
        "a bitrate",
    ),
    (
        "[templates.live.limits]\nmax_reference_frames = 17",
        "templates.live.limits.max_reference_frames",
        "between 1 and 16",
    ),
    (
        "[templates.live.limits]\nmax_duration = 3",
        "templates.live.limits.max_duration",
        "its unit",
    ),
    (
        "[templates.live.limits]\nmax_publishers = -1",
        "templates.live.limits.max_publishers",
        "between 0",
    ),
    ("[templates.live.limits]\nmax_players = -1", "templates.live.limits.max_players", "between 0"),
    ("[templates.live]\nlimits = 3", "templates.live.limits", "a table"),
    ("[templates.live]\nrenditions = 3", "templates.live.renditions", "array of tables"),
    ("[templates.live]\nrenditions = [3]", "templates.live.renditions[0]", "a table"),
    (RENDITION + "width = 641", None, ""),  # no TOML: a key twice
    (RENDITION.replace("640", "641"), "templates.live.renditions[0].width", "even"),
    (RECORD.replace("/r", "r"), "templates.live.record.directory", "an absolute path"),
    (RECORD.replace("directory", "#") + "keep = 1", "templates.live.record.directory", "be there"),
    (RECORD + 'renditions = ["99p"]', "templates.live.record.renditions[0]", "no such rendition"),
    (
        '[templates.live]\naudio_only = "hear"\n' + RECORD + 'renditions = ["hear"]',
        "templates.live.record.renditions[0]",
        "has no pictures",
    ),
    (RECORD + 'rotate_after = "0s"', "templates.live.record.rotate_after", "between 1s"),
    (RECORD + "rotate_size = 1000", "templates.live.record.rotate_size", "at least 1MiB"),
    (RECORD + "keep = -1", "templates.live.record.keep", "between 0B"),
    (RECORD + 'keys = ["a b"]', "templates.live.record.keys[0]", "letters"),
    (UPLOAD + 'bucket = "b/c"', f"{AT_UPLOAD}.bucket", "the name of a bucket"),
    (UPLOAD + 'region = "eu"', f"{AT_UPLOAD}.bucket", "must be there"),
    (UPLOAD + BUCKET + 'endpoint = "s3.example"', f"{AT_UPLOAD}.endpoint", "https://HOST"),
    (UPLOAD + BUCKET + 'endpoint = "http://h/b"', f"{AT_UPLOAD}.endpoint", "no path"),
    (UPLOAD + BUCKET + 'endpoint = "http://u:p@h"', f"{AT_UPLOAD}.endpoint", "without user"),
    (UPLOAD + BUCKET + 'region = "EU 1"', f"{AT_UPLOAD}.region", "a region"),
    (UPLOAD + BUCKET + 'prefix = "/a"', f"{AT_UPLOAD}.prefix", "with / between"),
    (UPLOAD + BUCKET + 'prefix = "a/../b"', f"{AT_UPLOAD}.prefix", "with / between"),
    (UPLOAD + BUCKET + 'credentials = "c"', f"{AT_UPLOAD}.credentials", "an absolute path"),
    (UPLOAD + BUCKET + 'ca_file = "c"', f"{AT_UPLOAD}.ca_file", "an absolute path"),
    (UPLOAD + BUCKET + "rate = -1", f"{AT_UPLOAD}.rate", "a bitrate"),
    (UPLOAD + BUCKET + "path_style = 1", f"{AT_UPLOAD}.path_style", "true or false"),
    (UPLOAD + BUCKET + "parts = 1", f"{AT_UPLOAD}.parts", "no known key"),
    (PUSH.replace("srt:", "http:"), "templates.live.push[0].url", "must begin with srt://"),
    (PUSH.replace(":9000", ""), "templates.live.push[0].url", "srt://HOST:PORT"),
    (PUSH.replace("source", "99p"), "templates.live.push[0].rendition", "no such rendition"),
    (PUSH * 9, "templates.live.push", "at most 8"),
    (
        RENDITION + OF_AV1 + PUSH.replace("source", "b"),
        "templates.live.push[0].rendition",
        "is AV1",
    ),
    (PUSH + 'keys = ["a b"]', "templates.live.push[0].keys[0]", "letters"),
    (
        RENDITION.replace("360", "5000"),
        "templates.live.renditions[0].height",
        "between 16 and 4096",
    ),
    (RENDITION.replace('"a"', '"source"'), "templates.live.renditions[0].name", "as published"),
    (RENDITION.replace('"a"', '"a/b"'), "templates.live.renditions[0].name", "letters"),
    (RENDITION + RENDITION, "templates.live.renditions[1].name", "twice"),
    (RENDITION.replace('"1M"', '"fast"'), "templates.live.renditions[0].bitrate", "a bitrate"),
    (RENDITION.replace('"1M"', '"1k"'), "templates.live.renditions[0].bitrate", "between 16k"),
    (RENDITION + "fps = 0", "templates.live.renditions[0].fps", "between 1 and 240"),
    (RENDITION + 'fps = "30/0"', "templates.live.renditions[0].fps", "a frame rate"),
    (RENDITION + 'profile = "high10"', "templates.live.renditions[0].profile", '"baseline"'),
    (RENDITION + 'preset = "fast"', "templates.live.renditions[0].preset", '"p1"'),
    (RENDITION + 'rc = "abr"', "templates.live.renditions[0].rc", '"cbr", "vbr"'),
    (RENDITION + 'codec = "vp9"', "templates.live.renditions[0].codec", '"h264", "h265", "av1"'),
    (RENDITION + 'codec = "h265"', "templates.live.renditions", 'one with codec = "h264"'),
    (
        RENDITION + "quality = 23",
        "templates.live.renditions[0].quality",
        'is for rc = "quality"',
    ),
    (
        RENDITION + "quality_floor = 95",
        "templates.live.renditions[0].quality_floor",
        "between 0.01 and 1",
    ),
    (
        "[templates.live]\nquality_every = 0\n" + RENDITION + "quality_floor = 0.9",
        "templates.live.renditions[0].quality_floor",
        "whose quality is measured",
    ),
    ("[templates.live]\nquality_every = 5", "templates.live.quality_every", "a duration"),
    (
        RENDITION + 'rc = "quality"\nmaxrate = "4M"',
        "templates.live.renditions[0].maxrate",
        'is for rc = "vbr"',
    ),
    (
        RENDITION + 'rc = "quality"\nquality = 5',
        "templates.live.renditions[0].quality",
        "between 10 and 45",
    ),
    (
        RENDITION + OF_AV1 + 'rc = "vbr"',
        "templates.live.renditions[1].rc",
        'must be "cbr" with codec = "av1"',
    ),
    (RENDITION + OF_AV1.replace("180", "32"), "templates.live.renditions[1].height", "at least 64"),
    (
        RENDITION + OF_AV1.replace('"1M"', '"101M"'),
        "templates.live.renditions[1].bitrate",
        "at most 100M",
    ),
    (
        RENDITION + OF_AV1 + 'profile = "high"',
        "templates.live.renditions[1].profile",
        'is for codec = "h264"',
    ),
    (RENDITION + 'maxrate = "2M"', "templates.live.renditions[0].maxrate", '"vbr"'),
    (RENDITION + 'rc="vbr"\nmaxrate="900k"', "templates.live.renditions[0].maxrate", "at least"),
    (RENDITION.replace("width=640\n", ""), "templates.live.renditions[0].width", "is missing"),
    (RENDITION + "framerate = 3", "templates.live.renditions[0].framerate", "no known key"),
]


@pytest.mark.parametrize(("text", "path", "words"), FAULTS)
def test_a_fault_is_named_by_its_keys_path(text: str, path: str | None, words: str) -> None:
    if path is None:
        with pytest.raises(tomllib.TOMLDecodeError):
            tomllib.loads(text)
        return
    found = faults_of(text)
    assert list(found) == [path]
    assert words in found[path]


@pytest.mark.parametrize(
    ("written", "flush_ms"), [('"frame"', 0), ('"0ms"', 0), ("0", 0), ('"1s"', 1000)]
)
def test_a_flush_goes_by_the_frame_or_by_an_interval(written: str, flush_ms: int) -> None:
    found = config.parse(tomllib.loads(f"[templates.live]\nflush = {written}"))
    assert found.templates[0].flush_ms == flush_ms


def test_a_rate_below_one_frame_a_gop_is_a_fault() -> None:
    found = faults_of('[templates.live]\ngop = "500ms"\n' + RENDITION + "fps = 1")
    assert "GOP of 500ms" in found["templates.live.renditions[0].fps"]


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_every_key_of_a_stream_reaches_its_setting() -> None:
    found = config.parse(tomllib.loads(FULL))
    assert found.stream_keys == {
        "live/cam1": StreamKeys((sha256("jkl"), "2" * 64), (sha256("mno"),)),
        "live/cam2": StreamKeys((sha256("ghi"),)),
    }
    assert not found.templates[0].needs_stream_key, "it has keys for all others"


@pytest.mark.parametrize(
    ("keys", "path", "problem"),
    [
        ('cam1 = ""', ".cam1.publish", "1 to 256 characters"),
        ("cam1 = []", ".cam1.publish", "at least one key"),
        ('cam1 = ["a", ""]', ".cam1.publish", "1 to 256 characters"),
        ("cam1 = 5", ".cam1", "a table"),
        ('cam1 = { publish = "sha256:zz" }', ".cam1.publish", "64 hex digits"),
        ("cam1 = { play = 5 }", ".cam1.play", "1 to 256 characters"),
        ('cam1 = { publsh = "a" }', ".cam1.publsh", 'did you mean "publish"'),
        ('"cam 1" = "a"', ".cam 1", "a stream key must be 1 to 128 letters"),
        ('"live/cam1" = "a"', ".live/cam1", "a stream key must be 1 to 128 letters"),
        ('cam1 = "a"\ncam2 = { play = "b" }', ".cam2", "nobody could publish it"),
    ],
)
def test_faults_of_stream_keys_are_told_by_their_paths(keys: str, path: str, problem: str) -> None:
    found = faults_of(f"[templates.live.stream_keys]\n{keys}")
    assert [*found] == [f"templates.live.stream_keys{path}"]
    assert problem in found[f"templates.live.stream_keys{path}"]


def test_no_fault_hides_another() -> None:
    found = faults_of("[listen]\nrtmp = 1\n[worker]\nqueue = 1\n[nothing]\n[templates.live]\nx = 1")
    assert set(found) == {"listen.rtmp", "worker.queue", "nothing", "templates.live.x"}


def test_a_faulty_key_in_clear_is_not_shown() -> None:
    key = "hunter2" * 100
    found = faults_of(f'[templates.live]\npublish_keys = ["{key}"]')
    assert "hunter2" not in str(found)


def test_a_file_is_read_with_what_it_includes(tmp_path: Path) -> None:
    (tmp_path / "calibration.toml").write_text(
        '[templates.live]\ncost = 40\nhold = "1s"\n[devices.capacity]\n"GPU-1" = 800\n'
    )
    main = tmp_path / "tfarm.toml"
    main.write_text('include = ["calibration.toml"]\n[templates.live]\nhold = "20s"\n')
    found = config.load(main)
    assert found.devices.capacity == (("GPU-1", 800.0),)
    (template,) = found.templates
    assert (template.cost, template.hold_ms) == (40.0, 20_000)


def test_files_that_cannot_be_read_are_faults(tmp_path: Path) -> None:
    main = tmp_path / "tfarm.toml"
    with pytest.raises(ConfigError, match="cannot read"):
        config.load(main)
    main.write_text("[listen\n")
    with pytest.raises(ConfigError, match="is no TOML"):
        config.load(main)
    main.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is no TOML"):
        config.load(main)
    main.write_text('include = ["gone.toml"]\nlog_level = 3\n')
    with pytest.raises(ConfigError) as caught:
        config.load(main)
    assert [fault.path for fault in caught.value.faults] == ["include[0]", "log_level"]


TOML_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["listen", "rtmp", "templates", "live", "renditions", "name", "width", "policy", "devices"]
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(KEYS, st.dictionaries(KEYS, TOML_VALUES, max_size=3) | TOML_VALUES))
def test_any_document_gives_settings_or_faults(document: dict[str, object]) -> None:
    with contextlib.suppress(ConfigError):
        assert config.parse(document).templates

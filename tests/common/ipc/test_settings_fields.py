"""Settings cross processes by position: their fields may only grow at the end, with a default."""

import dataclasses

import pytest

from common.config.access import Signing
from common.config.hooks import Hooks
from common.config.ladder import Rendition, Template
from common.config.limits import StreamLimits
from common.config.pushes import PushRule
from common.config.recording import Recording, Upload
from common.config.settings import (
    ApiSettings,
    Calibration,
    CaptureSettings,
    ClusterSettings,
    Devices,
    EgressSettings,
    IngestSettings,
    Listen,
    Pull,
    Settings,
    Software,
    SrtSettings,
    TlsSettings,
    WebrtcSettings,
    WebSettings,
    WorkerSettings,
)
from common.config.stream_keys import StreamKeys

# A new field goes behind the last, here as there; nothing else of this may change.
FIELDS = {
    Settings: (
        "listen software devices ingest egress worker log_level orphan_timeout_s templates "
        "calibration capture has_sandbox stream_keys api listen_tls tls "
        "listen_http web webrtc has_standbys listen_https cluster listen_srt srt listen_whip pulls "
        "codes_sound"
    ),
    Listen: "host port",
    ApiSettings: (
        "is_enabled listen tokens max_connections has_stream_metrics max_viewers pull_urls "
        "push_urls"
    ),
    WebSettings: (
        "is_enabled max_connections max_viewers cors_origins "
        "trusted_proxies part_s window_s window_bytes processes has_obs_config"
    ),
    ClusterSettings: (
        "name host secret_file etcd etcd_ca etcd_cert etcd_key etcd_user etcd_password_file ttl_s "
        "relay relay_address cert key ca keep_s"
    ),
    WebrtcSettings: "is_enabled listen addresses max_viewers",
    Pull: "app key url rtsp_transport is_added",
    SrtSettings: "latency_ms passphrase passphrases",
    Software: "workers capacity encoder_threads encoder_processes",
    Devices: "use_gpus exclude capacity max_encoder_sessions hybrid_capacity encoder_processes",
    IngestSettings: (
        "processes handshake_timeout_s first_video_timeout_s idle_timeout_s max_connections "
        "max_connections_per_address max_handshakes_per_address max_publishes_per_address "
        "max_message_bytes exempt_networks takeover_idle_s trusted_proxies"
    ),
    EgressSettings: (
        "processes max_players max_players_per_address queue_ms stall_timeout_s send_buffer_bytes"
    ),
    CaptureSettings: "memory_bytes seconds directory kept_files kept_bytes pictures",
    WorkerSettings: "queue_ms max_memory_bytes hang_timeout_s is_adapting",
    TlsSettings: "certificate key max_connections named",
    Calibration: (
        "device template path source streams units load decode scale encode memory_bytes cores"
    ),
    Template: (
        "name renditions gop_ms hold_ms wait_ms max_source publish_keys play_keys takeover "
        "away_picture policy cost flush_ms audio_hold_ms fit audio_levels utc idle_timeout_s "
        "limits "
        "needs_stream_key signing publish_rules play_rules hooks audio_only pushes renditions_when "
        "linger_ms expected_use sei_uuids recording multitrack_video quality_every_ms "
        "takes_backup backup_after_s "
        "backup_after_black_s backup_after_silent_s backup_return_s"
    ),
    Signing: "keys clock_skew_s",
    Hooks: "url secret events deadline_s on_error cache_s retry_s parallel ca_file",
    StreamLimits: "size fps bitrate_bps reference_frames duration_s publishers players",
    StreamKeys: "publish play limits",
    PushRule: "url rendition keys is_added",
    Recording: "directory renditions rotate_s rotate_bytes keep_bytes keys upload",
    Upload: (
        "bucket endpoint region prefix credentials_file ca_file is_path_style rate_bps deletes"
    ),
    Rendition: (
        "name width height bitrate_bps fps profile preset vbv_ms cost rate_control maxrate_bps fit "
        "codec when quality quality_floor"
    ),
}


@pytest.mark.parametrize("settings", FIELDS, ids=lambda settings: settings.__name__)
def test_a_new_setting_stands_behind_all_others(settings: type) -> None:
    """A child that lives on while its supervisor is upgraded reads them by position."""
    assert [field.name for field in dataclasses.fields(settings)] == FIELDS[settings].split()


def test_every_settings_dataclass_is_listed() -> None:
    pending: list[object] = [Settings(calibration=())]
    found: set[type] = {Calibration, Pull, PushRule, StreamKeys}
    while pending:
        value = pending.pop()
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            found.add(type(value))
            pending += [getattr(value, field.name) for field in dataclasses.fields(value)]
        elif isinstance(value, tuple):
            pending += value
    assert found == set(FIELDS)

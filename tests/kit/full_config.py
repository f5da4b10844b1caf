"""A configuration file with every key, each with a value that is not its default."""

FULL = """
log_level = "DEBUG"
orphan_timeout = "45s"
sandbox = false
standbys = false
sound = false
[listen]
rtmp = "[::]:1936"
rtmps = "0.0.0.0:1937"
http = "0.0.0.0:8081"
https = "0.0.0.0:8444"
srt = "0.0.0.0:9001"
whip = "0.0.0.0:8191"
[srt]
latency = "250ms"
passphrase = "a long passphrase"
[srt.passphrases]
"live/cam1" = "another passphrase"
[software]
workers = 3
capacity = 250.5
encoder_threads = 2
encoder_processes = true
[devices]
use_gpus = false
exclude = ["GPU-1", "0000:65:00.0"]
max_encoder_sessions = 8
hybrid_capacity = 300
encoder_processes = 4
[devices.capacity]
"GPU-2" = 900
[ingest]
processes = 2
handshake_timeout = "4s"
first_video_timeout = "5s"
idle_timeout = "1m"
max_connections = 10
max_connections_per_address = 11
max_handshakes_per_address = 2.5
max_publishes_per_address = 12
max_message = "2MiB"
exempt_networks = ["192.0.2.0/24"]
takeover_idle = "1500ms"
trusted_proxies = ["198.51.100.0/24", "2001:db8::/64"]
[egress]
max_players = 13
processes = 3
max_players_per_address = 12
queue = "2s"
stall_timeout = "7s"
send_buffer = "64KiB"
[worker]
queue = "900ms"
max_memory = "2GiB"
hang_timeout = "3s"
adapt = false
[tls]
certificate = "/tls/chain.pem"
key = "/tls/key.pem"
max_connections = 14
[tls.names]
"*.example.org" = "/tls/other.pem"
[capture]
memory = "64MiB"
seconds = "30s"
directory = "/var/captures"
max_files = 5
max_bytes = "100MiB"
pictures = false
[api]
enabled = false
listen = "192.0.2.1:9181"
tokens = ["a token of some length"]
max_connections = 20
stream_metrics = false
max_viewers = 21
pull_urls = ["rtsp://*.cameras.example.org"]
push_urls = ["rtmp://*.media.example.org"]
[web]
enabled = false
processes = 2
max_connections = 22
max_viewers = 23
cors_origins = ["https://example.org"]
trusted_proxies = ["203.0.113.0/24"]
part = "250ms"
window = "1m"
window_size = "8MiB"
obs_config = true
[webrtc]
enabled = false
listen = "0.0.0.0:8190"
addresses = ["203.0.113.7", "2001:db8::7"]
max_viewers = 24
[cluster]
name = "studio"
host = "media1"
secret_file = "/etc/tfarm/cluster/secret"
etcd = ["https://etcd1:2379", "https://[2001:db8::2]:2379"]
etcd_ca = "/etc/tfarm/cluster/etcd-ca.pem"
etcd_cert = "/etc/tfarm/cluster/etcd-client.pem"
etcd_key = "/etc/tfarm/cluster/etcd-client-key.pem"
etcd_user = "tfarm"
etcd_password_file = "/etc/tfarm/cluster/etcd-password"
ttl = "7s"
relay = "10.0.0.7:1937"
relay_address = "media1.example.org:1937"
cert = "/etc/tfarm/cluster/host.pem"
key = "/etc/tfarm/cluster/host-key.pem"
ca = "/etc/tfarm/cluster/ca.pem"
keep = "20s"
[templates.live]
quality_every = "15s"
gop = "1s"
hold = "0s"
wait = "2.5s"
max_source = "1280x720@30"
publish_keys = ["abc"]
publish_keys_sha256 = ["{}"]
play_keys = ["def"]
play_keys_sha256 = ["{}"]
takeover = "always"
filler = "none"
policy = ["software", "passthrough"]
cost = 12
flush = "20ms"
audio_hold = "30ms"
fit = "box"
audio_levels = true
audio_only = "audio"
sei_uuids = ["086F3693-B7B3-4F2C-9653-21492FEEE5B8", "dc45e9bde6d948b7962cd820d923eeef"]
utc = true
renditions_when = "watched"
linger = "30s"
expected_use = 0.2
multitrack_video = false
idle_timeout = "10m"
backup = true
backup_after = "3s"
backup_after_black = "20s"
backup_after_silence = "1m"
backup_return = "8s"
publish_rules = ["key+signed", "key"]
play_rules = ["signed", "key"]
[templates.live.signing]
clock_skew = "5s"
[templates.live.signing.keys]
k1 = "0123456789abcdef"
[templates.live.hooks]
url = "https://hooks.example/a"
secret = "fedcba9876543210"
events = ["on_play", "on_stop"]
deadline = "1500ms"
on_error = "allow"
cache = "1m"
retry = "2m"
parallel = 4
ca_file = "/etc/ca.pem"
[templates.live.limits]
max_size = "3840x2160"
max_fps = 60
max_bitrate = "50M"
max_reference_frames = 5
max_duration = "12h"
max_publishers = 3
max_players = 200
[templates.live.stream_keys]
cam2 = "ghi"
[templates.live.stream_keys.cam1]
publish = ["jkl", "sha256:{}"]
play = "mno"
[[templates.live.renditions]]
name = "720p"
width = 1280
height = 720
fps = 29.97
bitrate = "2.5M"
profile = "high"
preset = "p1"
vbv = "500ms"
cost = 28
rc = "vbr"
maxrate = "4M"
fit = "short-side"
when = "always"
quality_floor = 0.9
[[templates.live.renditions]]
name = "small"
width = 320
height = 180
fps = "source"
bitrate = 200000
rc = "quality"
quality = 30
[[templates.live.renditions]]
name = "hevc"
width = 320
height = 180
bitrate = 200000
codec = "h265"
[[templates.live.push]]
url = "srt://media.example:9000?streamid=publish:live/{{key}}&passphrase=0123456789"
rendition = "720p"
keys = ["cam1"]
[templates.live.record]
directory = "/var/lib/tfarm/recordings"
renditions = ["720p", "source"]
rotate_after = "15m"
rotate_size = "1GiB"
keep = "100GiB"
keys = ["cam1"]
[templates.live.record.upload]
bucket = "recordings"
endpoint = "https://s3.example.org:9000"
region = "eu-central-1"
prefix = "farm1/"
credentials = "/etc/tfarm/s3-credentials"
ca_file = "/etc/tfarm/s3-ca.pem"
path_style = false
rate = "200M"
delete_after_upload = true
[templates.relay]
renditions = []
[[pull]]
app = "live"
key = "door"
url = "rtsp://user:secret@camera.lan/stream1"
rtsp_transport = "udp"
""".format("0" * 64, "1" * 64, "2" * 64)

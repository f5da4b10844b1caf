"""RTMP over TLS on a real farm: published and played by ffmpeg, its certificate renewed meanwhile.

Nobody is exempt from the limits of an address, so that they count whose connection it is.
"""

import contextlib
import itertools
import os
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.access.proxy_protocol import header_v2
from common.rtmp.blocking_client import RtmpPlayer, RtmpPublisher, RtmpRefused
from tests.kit.certificates import Files, make, shown, tls, trusting
from tests.kit.clients import FlvTag, Player, Publisher, flv_tags, frames, record, send_tag
from tests.kit.clips import ClipSpec
from tests.kit.farm import DEFAULT_CONFIG, Farm, tfarm
from tests.kit.ffmpeg_commands import ffmpeg_publishes
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
SPEC = ClipSpec(seconds=6.0)
ALICE, PROXY, BANNED = "127.0.0.5", "127.0.0.9", "127.0.0.6"


def config(files: Files) -> str:
    return DEFAULT_CONFIG.replace(
        "[devices]",
        f"""rtmps = "127.0.0.1:0"

[tls]
certificate = "{files.certificate}"
key = "{files.key}"

[tls.names]
"*.other.example" = "{files.certificate.with_name("both.pem")}"

[ingest]
exempt_networks = ["127.0.0.1/32"]
max_publishes_per_address = 1
trusted_proxies = ["{PROXY}/32"]

[egress]
max_players_per_address = 1

[devices]""",
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    files = make(tmp_path_factory.mktemp("tls"))
    other = make(files.key.parent, "other")
    both = files.certificate.with_name("both.pem")
    both.write_bytes(other.certificate.read_bytes() + other.key.read_bytes())
    return files


@pytest.fixture(scope="module")
def farm(files: Files) -> Iterator[Farm]:
    with Farm(config(files)) as running:
        yield running


def url(farm: Farm, key: str, rendition: str = "") -> str:
    return (
        farm.url(key, rendition)
        .replace("rtmp://", "rtmps://")
        .replace(f":{farm.port}/", f":{farm.tls_port}/")
    )


def raw_url(farm: Farm, key: str) -> str:
    """For our own clients, which are given TLS by hand."""
    return farm.url(key).replace(f":{farm.port}/", f":{farm.tls_port}/")


def send_until_ended(peer: RtmpPublisher, tag: FlvTag) -> None:
    """The same for five seconds; raises ConnectionError as soon as the server ends it."""
    for _ in range(250):
        send_tag(peer, tag)
        time.sleep(0.02)  # sleep: the pace of what is sent


def test_ffmpeg_publishes_and_plays_with_tls(farm: Farm, clip: MakeClip, tmp_path: Path) -> None:
    with ffmpeg_publishes(clip(SPEC), url(farm, "cam")):
        farm.wait_stream("cam")
        played = tmp_path / "played.flv"
        subprocess.run(
            [
                "ffmpeg",
                "-v",
                "error",
                "-i",
                url(farm, "cam", "240p"),
                *["-t", "3", "-c", "copy"],
                played,
            ],
            check=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )
        assert len(record(str(played)).shown) > 60
        by_libav = record(url(farm, "cam", "144p"), enough=frames(20))
        assert len(by_libav.shown) >= 19
        assert not by_libav.decode_error
        assert farm.streams()["cam"]["publisher"].startswith("127.0.0.1:")
        in_clear = record(farm.url("cam", "240p"), enough=frames(20))
        assert len(in_clear.shown) >= 19, "one farm, two ways in"
    farm.wait_gone("cam")
    child = farm.child("tls")
    assert child["counters"]["handshakes"] >= 3
    assert "player open address=127.0.0.1:" in farm.log()


def test_a_client_that_trusts_the_certificate_is_shown_it_and_no_other(
    farm: Farm, files: Files, tmp_path: Path
) -> None:
    assert shown(farm.tls_port, trusting(files)) == files.der()
    other = Files(files.certificate.with_name("other.pem"), files.key)
    assert shown(farm.tls_port, name="cam.other.example") == other.der()
    with pytest.raises(ssl.SSLCertVerificationError):
        shown(farm.tls_port, trusting(make(tmp_path, "another")))
    farm.wait_log("the client does not trust the certificate")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_todays_versions_are_taken(farm: Farm, version: ssl.TLSVersion) -> None:
    context = trusting()
    context.minimum_version = context.maximum_version = version
    assert shown(farm.tls_port, context)


@pytest.mark.filterwarnings("ignore:.*TLSv1:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_older_versions_are_refused_by_name(farm: Farm, version: ssl.TLSVersion) -> None:
    context = trusting()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    before = farm.log().count("TLS 1.1 or older")
    with pytest.raises(OSError):  # noqa: PT011 - an alert, or an end
        shown(farm.tls_port, context)
    until(lambda: farm.log().count("TLS 1.1 or older") > before, 5, "it is named")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"\x03" + bytes(1536), "RTMP without TLS: use rtmps://"),
        (b"GET / HTTP/1.1\r\n\r\n", "no TLS: this is HTTP"),
        (b"\x16\x03\x01\x00\x05hello", "what comes is no TLS"),
        (b"\x16\x03", "the client left in the handshake"),
        (header_v2(("203.0.113.7", 1), ("127.0.0.1", 2)), "ingest.trusted_proxies alone"),
    ],
)
def test_what_is_no_tls_is_named(farm: Farm, said: bytes, words: str) -> None:
    before = farm.log().count(words)
    with socket.create_connection(("127.0.0.1", farm.tls_port), 5) as sock:
        sock.sendall(said)
        with contextlib.suppress(OSError):  # it may have been closed already
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):
                pass
    until(lambda: farm.log().count(words) > before, 5, f"{words!r} in the log")
    assert "203.0.113.7" not in farm.log()


def test_tls_on_the_plain_port_is_named_with_the_way_to_go(farm: Farm) -> None:
    with pytest.raises(OSError):  # noqa: PT011
        shown(farm.port)
    farm.wait_log("rtmps:// is for the port of listen.rtmps")


def test_a_refusal_arrives_with_its_words(farm: Farm) -> None:
    peer = RtmpPublisher(raw_url(farm, "x").replace("/live/", "/nope/"), 5, prepare=tls(trusting()))
    with pytest.raises(RtmpRefused) as refused:
        peer.connect()
    assert refused.value.code == "NetConnection.Connect.InvalidApp"


def test_limits_of_an_address_count_clients_with_and_without_tls_together(
    farm: Farm, clip: MakeClip
) -> None:
    def publisher(key: str, source: str, before: bytes = b"") -> RtmpPublisher:
        prepare = tls(trusting(), before)
        return RtmpPublisher(raw_url(farm, key), 5, source=source, prepare=prepare)

    tags = flv_tags(clip(SPEC))
    with RtmpPublisher(farm.url("plain"), 5, source=ALICE) as first:
        for tag in tags[:20]:
            send_tag(first, tag)
        with pytest.raises(RtmpRefused, match="as many as one may"):
            publisher("second", ALICE).connect()
        proxied = header_v2((ALICE, 4000), ("127.0.0.1", 1))
        with pytest.raises(RtmpRefused, match="as many as one may"):
            publisher("third", PROXY, proxied).connect()
        with publisher("fourth", PROXY, header_v2(("203.0.113.8", 4001), ("127.0.0.1", 1))):
            pass
        player = RtmpPlayer(raw_url(farm, "plain"), 5, source=ALICE, prepare=tls(trusting()))
        with player, pytest.raises(RtmpRefused, match="as many as one may"):
            RtmpPlayer(farm.url("plain"), 5, source=ALICE).connect()
    farm.wait_log(f"player open address={ALICE}:")


def test_a_banned_address_is_told_so_and_its_streams_end(farm: Farm, clip: MakeClip) -> None:
    prepare = tls(trusting())
    peer = RtmpPublisher(raw_url(farm, "banned"), 5, source=BANNED, prepare=prepare)
    with peer:
        for tag in flv_tags(clip(SPEC))[:20]:
            send_tag(peer, tag)
        assert farm.cli("ban", BANNED).returncode == 0
        with pytest.raises(ConnectionError, match=r"ended|closed|reset"):
            send_until_ended(peer, flv_tags(clip(SPEC))[4])
    again = RtmpPublisher(raw_url(farm, "banned"), 5, source=BANNED, prepare=prepare)
    with pytest.raises(RtmpRefused, match="banned by the operator"):
        again.connect()
    assert farm.cli("unban", BANNED).returncode == 0


def test_a_certificate_is_renewed_and_no_stream_notices(
    farm: Farm, files: Files, clip: MakeClip, tmp_path: Path
) -> None:
    with (
        Publisher(url(farm, "renew"), clip(SPEC), loop=True) as publisher,
        Player(url(farm, "renew", "240p"), seconds=30) as player,
    ):
        farm.wait_stream("renew")
        assert player.opened.wait(10)
        second = make(tmp_path, "second")
        files.replace(second)
        until(lambda: shown(farm.tls_port) == second.der(), 5, "the new one is shown")
        third = make(tmp_path, "third", "rsa")
        files.replace(third)
        assert farm.cli("reload").returncode == 0
        until(lambda: shown(farm.tls_port) == third.der(), 0.9, "at once, by the reload")
        files.key.write_bytes(second.key.read_bytes())
        assert farm.cli("reload").returncode == 0
        farm.wait_log("the one before stays reason=the key")
        assert shown(farm.tls_port) == third.der()
        files.replace(second)
        until(lambda: shown(farm.tls_port) == second.der(), 5, "the pair fits again")
        got = len(player.recording.video)
        until(lambda: len(player.recording.video) > got + 30, 10, "pictures go on")
        assert publisher.is_running
        player.stop()
        publisher.stop()
    numbers = [shown.number for shown in player.recording.shown if shown.number is not None]
    steps = {after - before for before, after in itertools.pairwise(numbers)}
    assert len(steps) <= 2, f"pictures are missing: {sorted(steps)}"
    assert publisher.error is None


def test_the_process_that_ends_tls_is_confined(farm: Farm) -> None:
    status = Path(f"/proc/{farm.child('tls')['pid']}/status").read_text()
    assert "Seccomp:\t2" in status
    assert "NoNewPrivs:\t1" in status


def test_a_lost_tls_child_costs_its_own_connections_and_comes_back_where_it_was(
    farm: Farm, clip: MakeClip
) -> None:
    port, pid = farm.tls_port, farm.child("tls")["pid"]
    with (
        Publisher(farm.url("stays"), clip(SPEC), loop=True) as publisher,
        Player(farm.url("stays", "240p"), seconds=30) as player,
    ):
        farm.wait_stream("stays")
        with RtmpPlayer(raw_url(farm, "stays"), 5, prepare=tls(trusting())) as lost:
            os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ConnectionError):
                for _ in lost:
                    pass
        until(lambda: farm.child("tls")["restarts"] == 1, 10, "it is started again")
        until(lambda: farm.child("tls")["state"] == "ready", 10, "it is ready")
        assert farm.tls_port == port
        with RtmpPlayer(raw_url(farm, "stays"), 5, prepare=tls(trusting())):
            pass
        got = len(player.recording.video)
        until(lambda: len(player.recording.video) > got + 20, 10, "pictures go on")
        assert publisher.is_running
    farm.wait_gone("stays")


def test_a_farm_whose_certificate_cannot_be_used_says_so_and_does_not_start(
    files: Files, tmp_path: Path
) -> None:
    path = tmp_path / "farm.toml"
    path.write_text(config(Files(files.certificate, tmp_path / "none.key")))
    with tempfile.TemporaryDirectory(prefix="tfarm-test-") as run_dir:
        ended = tfarm("supervisor", str(path), "--run-dir", run_dir)
    assert ended.returncode == 1
    assert f"tls:0 cannot start: {tmp_path}/none.key: No such file or directory" in ended.stderr

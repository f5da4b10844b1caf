"""Which children a farm has by now, and where it listens."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from common.config.ladder import Pipeline
from common.config.settings import Listen, Settings, TlsSettings
from common.ipc.control_messages import DeviceInfo, Endpoint, Hello
from common.ipc.identity import BootId, ChildId
from supervisor.processes.launch import python_module
from supervisor.processes.launcher import Launcher, expected_pipeline
from tests.kit.children import CPU0, EGRESS0, GPU1, INGEST0, WEB0, WEB1

SETTINGS = replace(Settings(), listen=Listen("127.0.0.1", 0))
SHARED = replace(SETTINGS, ingest=replace(SETTINGS.ingest, processes=2))
HYBRID = replace(SETTINGS, devices=replace(SETTINGS.devices, encoder_processes=3))


def launcher(settings: Settings, *hellos: Hello, gpus: tuple[str, ...] = ()) -> Launcher:
    return Launcher(settings, Path("/run/farm"), python_module, gpus, 4, lambda: hellos)


def hello(child: ChildId, device: DeviceInfo | None = None) -> Hello:
    boot_id = BootId("0" * 16)
    return Hello(child, boot_id, 1, 1, Endpoint(child, boot_id), device=device)


def test_a_gpu_that_turns_out_to_be_hybrid_brings_encoder_processes_once() -> None:
    farm = launcher(
        HYBRID, hello(GPU1, DeviceInfo("GPU-1", "gpu", "", Pipeline.HYBRID)), gpus=("GPU-1",)
    )
    assert farm.gpus == ["GPU-1"]
    running = [*farm.children]
    new = farm.further(running)
    assert new == [ChildId("encoder", index=index) for index in range(3)]
    assert farm.children == running + new
    assert farm.further(farm.children) == []


@pytest.mark.parametrize(
    ("child", "waits"),
    [(INGEST0, True), (EGRESS0, True), (CPU0, True), (GPU1, False), (ChildId("api"), False)],
)
def test_who_has_a_process_that_waits_for_its_place_unless_nobody_wants_that(
    child: ChildId, *, waits: bool
) -> None:
    assert bool(launcher(SETTINGS).spec(child).standby) is waits
    assert not launcher(replace(SETTINGS, has_standbys=False)).spec(child).standby


def test_several_that_listen_share_a_port_that_is_free() -> None:
    farm = launcher(SHARED)
    farm.choose_ports()
    assert farm.listen.port != 0
    argv = farm.spec(INGEST0).command()
    assert argv[-3:] == ["--listen", f"127.0.0.1:{farm.listen.port}", "--share-port"]


def test_a_port_in_use_is_an_error_and_one_of_an_adopted_child_is_kept() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        listen = Listen("127.0.0.1", port)
        with pytest.raises(OSError, match=str(port)):
            launcher(replace(SHARED, listen=listen)).choose_ports()
        launcher(replace(SHARED, listen=listen), hello(INGEST0)).choose_ports()


def test_viewers_processes_share_a_port_or_one_of_them_waits_until_it_is_free() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        listen = Listen("127.0.0.1", taken.getsockname()[1])
        several = replace(SETTINGS, listen_http=listen, web=replace(SETTINGS.web, processes=2))
        taken.listen()
        farm = launcher(several)
        farm.choose_ports()
        assert "--share-port" not in farm.spec(WEB1).command()
    farm = launcher(several)
    farm.choose_ports()
    assert {WEB0, WEB1} < set(farm.children)
    for child in (WEB0, WEB1):
        argv = farm.spec(child).command()
        assert argv[-3:] == ["--listen", f"127.0.0.1:{listen.port}", "--share-port"]


def test_one_that_listens_alone_binds_by_itself_and_its_successor_where_it_did() -> None:
    farm = launcher(SETTINGS)
    farm.choose_ports()
    assert farm.listen.port == 0
    farm.keep_port(INGEST0, "127.0.0.1:4711")
    assert farm.spec(INGEST0).command()[-2:] == ["--listen", "127.0.0.1:4711"]
    farm.keep_port(INGEST0, "nonsense")
    assert farm.listen.port == 4711


def test_who_takes_tls_listens_elsewhere_with_a_certificate_and_keeps_its_own_port() -> None:
    tls = TlsSettings("/etc/chain.pem")
    farm = launcher(replace(SETTINGS, listen_tls=Listen("::1", 0), tls=tls))
    front = ChildId("tls", index=0)
    assert front in farm.children
    files = ["--certificate", "/etc/chain.pem", "--key", "/etc/chain.pem"]
    assert farm.spec(front).command()[-6:] == ["--listen", "[::1]:0", *files]
    farm.keep_port(front, "[::1]:4712")
    assert "[::1]:4712" in farm.spec(front).command()
    assert farm.listen.port == 0
    assert front not in launcher(SETTINGS).children
    named = (("a.example", "/etc/a.pem"), ("*.b.example", "/etc/b=.pem"))
    more = launcher(replace(SETTINGS, listen_tls=Listen(), tls=replace(tls, named=named)))
    wanted = ["--named", "a.example=/etc/a.pem", "--named", "*.b.example=/etc/b=.pem"]
    assert more.spec(front).command()[-4:] == wanted


def test_what_a_device_is_taken_for_until_its_worker_says_hello() -> None:
    assert expected_pipeline(CPU0) is Pipeline.SOFTWARE
    assert expected_pipeline(GPU1) is Pipeline.GPU_ONLY


def test_a_reload_brings_the_child_that_only_its_settings_ask_for() -> None:
    farm = launcher(SETTINGS)
    assert farm.further(farm.children) == []
    (live,) = SETTINGS.templates
    farm.settings = replace(SETTINGS, templates=(replace(live, audio_levels=True),))
    audio = ChildId("audio", index=0)
    assert farm.further(farm.children) == [audio]
    assert farm.further(farm.children) == []
    assert audio in farm.children

"""What a reload changes, and what it says it does not."""

from dataclasses import replace

from common.config.keys import Holds
from common.config.reference import tables
from common.config.settings import Listen, Settings
from supervisor.farm.operators.reloading import COUNTS, reloaded

BEFORE = Settings(software=replace(Settings().software, workers=1))


def test_what_may_change_changes() -> None:
    after = replace(BEFORE, orphan_timeout_s=99.0)
    result = reloaded(BEFORE, after, 4)
    assert result.settings == after
    assert result.words == "for new processes: orphan_timeout"
    assert result.kept == ()


def test_a_file_that_says_the_same_changes_nothing() -> None:
    result = reloaded(BEFORE, BEFORE, 4)
    assert (result.settings, result.words) == (BEFORE, "nothing has changed")


def test_the_listener_and_the_gpus_wait_for_a_restart() -> None:
    result = reloaded(BEFORE, replace(BEFORE, listen=Listen(port=1999)), 4)
    assert result.settings.listen == BEFORE.listen
    assert result.kept == ("listen.rtmp",)
    assert result.words == "after a restart: listen.rtmp"
    devices = replace(BEFORE.devices, use_gpus=not BEFORE.devices.use_gpus)
    result = reloaded(BEFORE, replace(BEFORE, devices=devices), 4)
    assert result.settings.devices == BEFORE.devices
    assert result.kept == ("devices.use_gpus",)


def test_the_number_of_servers_waits_and_their_other_settings_do_not() -> None:
    loaded = replace(
        BEFORE,
        ingest=replace(BEFORE.ingest, processes=3),
        egress=replace(BEFORE.egress, processes=2, max_players=7),
    )
    result = reloaded(BEFORE, loaded, 4)
    assert (result.settings.ingest.processes, result.settings.egress.processes) == (1, 1)
    assert result.settings.egress.max_players == 7
    assert result.kept == ("ingest.processes", "egress.processes")
    assert result.words == (
        "at once: egress.max_players; after a restart: ingest.processes, egress.processes"
    )


def test_software_workers_come_at_once_and_go_with_a_restart() -> None:
    more = replace(BEFORE, software=replace(BEFORE.software, workers=3))
    result = reloaded(BEFORE, more, 4)
    assert result.words == "at once: software.workers"
    fewer = reloaded(more, BEFORE, 4)
    assert fewer.kept == ("software.workers",)
    assert fewer.words == "after a restart: software.workers"


def test_workers_by_the_cores_are_compared_as_numbers() -> None:
    by_cores = replace(BEFORE, software=replace(BEFORE.software, workers=None))
    assert reloaded(BEFORE, by_cores, 24).words == "at once: software.workers"
    assert reloaded(by_cores, BEFORE, 24).kept == ("software.workers",)


def test_fewer_encoder_processes_wait_for_a_restart_too() -> None:
    more = replace(BEFORE, devices=replace(BEFORE.devices, encoder_processes=3))
    assert reloaded(BEFORE, more, 8).kept == ()
    assert reloaded(more, BEFORE, 12).kept == ()
    assert reloaded(more, BEFORE, 8).kept == ("devices.encoder_processes",)


def test_what_waits_for_a_restart_is_said_at_every_reload_until_then() -> None:
    before = replace(BEFORE, software=replace(BEFORE.software, workers=3))
    before = replace(before, devices=replace(before.devices, encoder_processes=3))
    exclude = ("GPU-1",)
    devices = replace(before.devices, use_gpus=False, exclude=exclude, encoder_processes=1)
    loaded = replace(
        before,
        listen=Listen(port=1999),
        devices=replace(devices, max_encoder_sessions=5),
        software=replace(before.software, workers=1, capacity=70.0),
        ingest=replace(before.ingest, processes=2),
    )
    first = reloaded(before, loaded, 8)
    assert first.kept == (
        "listen.rtmp",
        "software.workers",
        "devices.use_gpus",
        "devices.exclude",
        "devices.encoder_processes",
        "ingest.processes",
    )
    assert first.words.startswith("at once: software.capacity, devices.max_encoder_sessions; ")
    assert first.settings.devices == replace(before.devices, max_encoder_sessions=5)
    assert first.settings.software == replace(before.software, capacity=70.0)
    again = reloaded(first.settings, loaded, 8)
    assert again == replace(first, words=f"after a restart: {', '.join(first.kept)}")
    assert reloaded(first.settings, before, 8).kept == ()


def test_what_comes_at_once_where_it_is_more_can_be_counted() -> None:
    declared = {
        f"{name.strip('[]')}.{one.name}"
        for name, table in tables().items()
        for one in table.declared()
        if one.key.holds is Holds.MORE_NOW
    }
    assert declared == set(COUNTS)
